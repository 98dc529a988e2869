"""Events of the storage account. A body only says where to look; nothing in an event is fetched or believed."""

import azure.functions as func
from azurefunctions.extensions.bindings import blob  # pyright: ignore[reportMissingTypeStubs] - it ships none

from functions.events import blobs_of
from functions.triggers import Triggers
from shared.runtime.container import container

triggers = Triggers()


@triggers.blob("%DOCUMENTS_CONTAINER%/{name}")
async def document_uploaded(client: blob.BlobClient) -> None:
    """A blob of the documents container was written. Only the names of the client are used: no content is read."""
    await container().uploads.seen(str(client.container_name), str(client.blob_name))


@triggers.event()
async def storage_event(event: func.EventGridEvent) -> None:
    """A blob of another container was written, or any blob was deleted or renamed."""
    app = container()
    for container_name, name in blobs_of(event, app.settings.account_name):
        await app.uploads.seen(container_name, name)
