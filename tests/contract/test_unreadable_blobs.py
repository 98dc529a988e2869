"""An archived blob is a lasting answer about this blob, not an outage."""

import pytest
from azure.storage.blob import StandardBlobTier
from azure.storage.blob.aio import BlobServiceClient

from shared.storage.gateways.ports import BlobUnreadable
from tests.support.azurite import Azurite


async def test_azurite_refuses_an_archived_blob(azurite: Azurite) -> None:
    async with azurite.storage() as clients:
        container = f"{clients.names.prefix}docs"
        await clients.blobs.create_container(container)
        await clients.blobs.write(container, "a.txt", b"text")
        async with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
            blob = service.get_blob_client(container, "a.txt")
            [before] = [found async for page in clients.blobs.list(container) for found in page]
            await blob.set_standard_blob_tier(StandardBlobTier.ARCHIVE)
        [listed] = [found async for page in clients.blobs.list(container) for found in page]
        assert (before.archived, listed.archived, listed.etag) == (False, True, before.etag)
        for size in (None, 10):
            with pytest.raises(BlobUnreadable) as caught:
                await clients.blobs.read(container, "a.txt", max_bytes=size)
            assert (caught.value.code, caught.value.key, caught.value.retryable) == (
                "BlobArchived",
                "a.txt",
                False,
            )
