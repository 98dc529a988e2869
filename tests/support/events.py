"""Events of the storage account as Event Grid posts them, in both of its schemas."""

import json
from typing import Any
from uuid import uuid4

import httpx

from devhost.delivery import TOPIC

CREATED = "Microsoft.Storage.BlobCreated"
DELETED = "Microsoft.Storage.BlobDeleted"
RENAMED = "Microsoft.Storage.BlobRenamed"
DIRECTORY_DELETED = "Microsoft.Storage.DirectoryDeleted"
DIRECTORY_RENAMED = "Microsoft.Storage.DirectoryRenamed"
EVENT_GRID = ("/runtime/webhooks/EventGrid", "storage_event")
BLOBS = ("/runtime/webhooks/blobs", "Host.Functions.document_uploaded")
#: The keys of the tests' hosts: each extension has its own.
HOST_KEYS = {
    "master": "host-master-key",
    "function": "host-function-key",
    "eventgrid_extension": "host-eventgrid-key",
    "blobs_extension": "host-blobs-key",
}

type Event = dict[str, Any]


def event(kind: str, container: str, name: str, **more: Any) -> Event:
    """An event in the Event Grid schema; what it says of the blob is made up, for nothing may believe it."""
    return {
        "id": str(uuid4()),
        "topic": TOPIC,
        "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
        "eventType": kind,
        "eventTime": "2030-01-01T00:00:00.0000000Z",
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {
            "api": "PutBlob",
            "eTag": "0x1",
            "contentType": "text/plain",
            "contentLength": 524_288,
            "blobType": "BlockBlob",
            "url": f"http://127.0.0.1:1/devstoreaccount1/{container}/{name}",
            "sequencer": uuid4().hex,
        },
    } | more


def cloud_event(kind: str, container: str, name: str, **more: Any) -> Event:
    """The same as a CloudEvent 1.0."""
    plain = event(kind, container, name)
    return {
        "id": plain["id"],
        "source": TOPIC,
        "subject": plain["subject"],
        "type": kind,
        "time": plain["eventTime"],
        "specversion": "1.0",
        "data": plain["data"],
    } | more


async def deliver(
    http: httpx.AsyncClient, body: bytes, to: tuple[str, str] = EVENT_GRID, kind: str = "Notification"
) -> httpx.Response:
    """What a webhook answers to a body."""
    address, function = to
    headers = {"aeg-event-type": kind}
    key = HOST_KEYS[f"{address.rpartition('/')[2].lower()}_extension"]
    params = {"functionName": function, "code": key}
    return await http.post(address, params=params, content=body, headers=headers)


async def post(http: httpx.AsyncClient, *events: Any, to: tuple[str, str] = EVENT_GRID) -> int:
    """Deliver events in one request; the status of the answer."""
    return (await deliver(http, json.dumps(events).encode(), to)).status_code
