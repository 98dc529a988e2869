"""Webhooks of the Event Grid protocol: for Event Grid triggers, and for blob triggers with source EventGrid.

As in the real host an event for a blob trigger becomes a message on the host's blob queue. Nothing is filtered
by event type or path (the subscription does that), a message whose blob or function is gone is dropped as done,
and a function sees the blob as it is when it runs. A message that cannot be read ends the host.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueMessage

from devhost.bindings import Storage
from devhost.http import text_response
from devhost.protos import ModelBindingData, TypedData
from devhost.queues import MessageHandler
from devhost.server import Handler, Request, Response
from devhost.settings import connection_setting, decode_message, encode_message
from devhost.worker import Function, HostDown, InvocationFailed, Worker

type Events = list[Any]
type Deliver = Callable[[Events], Awaitable[Response]]

POISON_QUEUE = "webjobs-blobtrigger-poison"
ORIGIN = (("WebHook-Allowed-Origin", "eventgrid.azure.net"),)
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?[+-]\d\d:\d\d")
_SURROGATE = re.compile("[\ud800-\udfff]")


async def answer(request: Request, deliver: Deliver) -> Response:
    """Answer a request of Event Grid; the events of a notification go to `deliver`."""
    if request.method.upper() == "OPTIONS":
        return Response(200, headers=ORIGIN)
    kind = request.headers.get("aeg-event-type", "").lower()
    if kind == "unsubscribe":
        return Response(202)
    if kind not in {"subscriptionvalidation", "notification"}:
        return Response(400)
    try:
        payload: Any = _as_read(json.loads(request.body.decode("utf-8-sig", "replace")))
        if kind == "subscriptionvalidation":
            return text_response(200, f'{{"validationResponse":{json.dumps(_validation_code(payload))}}}')
    except (ValueError, LookupError, TypeError):
        return Response(500)
    if not isinstance(payload, dict | list):
        return Response(500)
    return await deliver(cast("Events", payload) if isinstance(payload, list) else [payload])


def event_grid_webhook(worker: Worker, functions: Iterable[Function]) -> Handler:
    """Runs the function once for each event, side by side; 500 when one failed, so that all are sent again."""
    by_name = {function.name: function for function in functions}

    async def handle(request: Request) -> Response:
        name = ",".join(request.parameter("functionName"))
        function = by_name.get(name)
        if function is None:
            return text_response(404, f"cannot find function: '{name}'")

        async def invoke(event: Any) -> Response:
            if not isinstance(event, dict):
                return Response(500)
            try:
                await worker.invoke(function, TypedData(json=json.dumps(event)))
            except InvocationFailed:
                return text_response(500, f"Exception while executing function: Functions.{name}")
            return Response(202)

        async def deliver(events: Events) -> Response:
            answers = await asyncio.gather(*map(invoke, events))
            return next((failed for failed in answers if failed.status != 202), Response(202))

        return await answer(request, deliver)

    return handle


def _as_read(value: Any) -> Any:
    """JSON as the real host reads it: dates with an offset become UTC, what is not Unicode becomes U+FFFD."""
    if isinstance(value, dict):
        return {_as_read(name): _as_read(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_as_read(item) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    if _DATE.fullmatch(value):
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return _SURROGATE.sub("\ufffd", value)


def _validation_code(payload: Any) -> str:
    data: Any = (cast("Events", payload)[0] if isinstance(payload, list) else payload)["data"]
    # A CloudEvent carries its data as text.
    return str((json.loads(data) if isinstance(data, str) else data)["validationCode"])


def blob_webhook(enqueue: Callable[[str], Awaitable[None]], base64_messages: bool) -> Handler:
    """Each event becomes a message on the host's blob queue."""

    async def handle(request: Request) -> Response:
        names = request.parameter("functionName")

        async def deliver(events: Events) -> Response:
            try:
                messages = [_message(",".join(names) if names else None, event["data"]) for event in events]
            except (LookupError, ValueError, TypeError):
                return Response(500)
            texts = [json.dumps(message, indent=2).encode() for message in messages]
            await asyncio.gather(*(enqueue(encode_message(text, base64_messages)) for text in texts))
            return Response(202)

        return await answer(request, deliver)

    return handle


def _message(function: str | None, data: dict[str, Any]) -> dict[str, str | None]:
    parts = urlsplit(str(data["url"]))
    if not parts.netloc or not data["blobType"]:
        raise ValueError(data)
    # An emulator's URL starts with the account: /devstoreaccount1/container/name.
    skip = 1 if re.fullmatch(r"[0-9.]+|localhost", parts.hostname or "") else 0
    names = [*parts.path.lstrip("/").split("/", skip + 1)[skip:], "", ""]
    etag = data.get("eTag")
    return {
        "Type": "BlobTrigger",
        "FunctionId": function,
        "BlobType": data["blobType"],
        "ContainerName": unquote(names[0]) or None,
        "BlobName": unquote(names[1]) or None,
        "ETag": f'"{str(etag).strip(chr(34))}"' if etag else None,
    }


def blob_handler(
    worker: Worker, storage: Storage, functions: Iterable[Function], base64_messages: bool
) -> MessageHandler:
    """The handler of the host's blob queue."""
    by_id = {function.host_name: function for function in functions}

    async def handle(message: QueueMessage) -> None:
        try:
            text = decode_message(message.content, base64_messages)
        except ValueError:
            raise InvocationFailed("the message is not base64") from None
        try:
            content: Any = json.loads(text)
            identity, container, name = (content[key] for key in ("FunctionId", "ContainerName", "BlobName"))
        except (ValueError, LookupError, TypeError):
            identity = container = name = None
        if not (isinstance(identity, str) and isinstance(container, str) and isinstance(name, str)):
            raise HostDown(f"a message of the blob trigger's queue cannot be read: {message.id}")
        if identity in by_id:
            await _run(worker, storage, by_id[identity], container, name)

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
    shown = {"ContentLength": properties.size, "ContentType": properties.content_settings.content_type}
    shown |= {"ETag": (properties.etag or "").strip('"'), "LastModified": str(properties.last_modified)}
    metadata = {key: TypedData(string=value) for key, value in names.items()} | {
        "BlobTrigger": TypedData(string=f"{container}/{name}"),
        "Uri": TypedData(string=client.url),
        "Properties": TypedData(json=json.dumps(shown)),
        "Metadata": TypedData(json=json.dumps(properties.metadata or {})),
    }
    await worker.invoke(function, data, metadata, names)


def _reference(connection: str | None, container: str, name: str) -> ModelBindingData:
    """What azurefunctions-extensions-bindings-blob reads: the name of the setting, container and blob."""
    names = {"Connection": connection_setting(connection), "ContainerName": container, "BlobName": name}
    content, kind = json.dumps(names).encode(), "application/json"
    return ModelBindingData(version="1.0", source="AzureStorageBlobs", content_type=kind, content=content)


def _path_values(pattern: str, path: str) -> dict[str, str]:
    """Values of `{name}` in a trigger's path; {} when the blob does not fit the pattern."""
    parts = re.split(r"\{(\w+)\}", pattern)
    expression = "".join(f"(?P<{part}>.+?)" if n % 2 else re.escape(part) for n, part in enumerate(parts))
    found = re.fullmatch(expression, path, re.DOTALL)
    return found.groupdict() if found else {}
