"""Blob triggers with source EventGrid: a webhook that enqueues, and a queue handler that runs the function.

As in the real host nothing is filtered by event type or path (the subscription does that), a message whose
blob or function is gone is dropped as done, and a function sees the blob as it is when it runs.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties
from azure.storage.queue import QueueMessage

from devhost.bindings import Storage
from devhost.eventgrid import Deliver, Events
from devhost.http import Response
from devhost.protos import ModelBindingData, TypedData
from devhost.queues import BadMessage, Handler
from devhost.settings import connection_setting, decode_message, encode_message
from devhost.worker import Function, Worker

POISON_QUEUE = "webjobs-blobtrigger-poison"


def blob_deliver(enqueue: Callable[[str], Awaitable[None]], base64_messages: bool) -> Deliver:
    """Each event becomes a message on the host's blob queue."""

    async def deliver(name: str, events: Events) -> Response:
        try:
            messages = [_message(name, event) for event in events]
        except (LookupError, ValueError, TypeError):
            return Response(500)
        texts = [encode_message(json.dumps(message).encode(), base64_messages) for message in messages]
        await asyncio.gather(*map(enqueue, texts))
        return Response(202)

    return deliver


def _message(function: str, event: dict[str, Any]) -> dict[str, str]:
    data: dict[str, Any] = event["data"]
    parts = urlsplit(str(data["url"]))
    # An emulator's URL starts with the account: /devstoreaccount1/container/name.
    skip = 1 if re.fullmatch(r"[0-9.]+|localhost", parts.hostname or "") else 0
    container, blob = parts.path.lstrip("/").split("/", skip + 1)[skip:]
    return {
        "Type": "BlobTrigger",
        "FunctionId": function,
        "BlobType": data["blobType"],
        "ContainerName": unquote(container),
        "BlobName": unquote(blob),
        "ETag": data["eTag"],
    }


def blob_handler(
    worker: Worker, storage: Storage, functions: Iterable[Function], base64_messages: bool
) -> Handler:
    """The handler of the host's blob queue."""
    by_id = {function.host_name.lower(): function for function in functions}

    async def handle(message: QueueMessage) -> None:
        try:
            content: Any = json.loads(decode_message(message.content, base64_messages))
            function = by_id.get(content["FunctionId"].lower())
            container, name = str(content["ContainerName"]), str(content["BlobName"])
        except (ValueError, LookupError, TypeError, AttributeError):
            raise BadMessage from None
        if function is not None:
            await _run(worker, storage, function, container, name)

    return handle


async def _run(worker: Worker, storage: Storage, function: Function, container: str, name: str) -> None:
    connection: str | None = function.trigger.get("connection")
    client = storage.blobs(connection).get_blob_client(container, name)
    try:
        properties = await client.get_blob_properties()
        if function.deferred:
            data = TypedData(model_binding_data=_reference(connection, container, name))
        else:
            data = TypedData(bytes=await (await client.download_blob()).readall())
    except ResourceNotFoundError:
        return
    names = _path_values(function.trigger["path"], f"{container}/{name}")
    metadata = {key: TypedData(string=value) for key, value in names.items()}
    metadata |= {
        "BlobTrigger": TypedData(string=f"{container}/{name}"),
        "Uri": TypedData(string=client.url),
        "Properties": TypedData(json=json.dumps(_properties(properties))),
        "Metadata": TypedData(json=json.dumps(properties.metadata or {})),
    }
    await worker.invoke(function, data, metadata, names)


def _reference(connection: str | None, container: str, name: str) -> ModelBindingData:
    """What azurefunctions-extensions-bindings-blob reads: the name of the setting, container and blob."""
    content = {"Connection": connection_setting(connection), "ContainerName": container, "BlobName": name}
    return ModelBindingData(
        version="1.0",
        source="AzureStorageBlobs",
        content_type="application/json",
        content=json.dumps(content).encode(),
    )


def _properties(properties: BlobProperties) -> dict[str, Any]:
    return {
        "ContentLength": properties.size,
        "ContentType": properties.content_settings.content_type,
        "ETag": (properties.etag or "").strip('"'),
        "LastModified": properties.last_modified.isoformat() if properties.last_modified else None,
    }


def _path_values(pattern: str, path: str) -> dict[str, str]:
    """Values of `{name}` in a trigger's path; {} when the blob does not fit the pattern."""
    parts = re.split(r"\{(\w+)\}", pattern)
    expression = "".join(
        f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    found = re.fullmatch(expression, path, re.DOTALL)
    return found.groupdict() if found else {}
