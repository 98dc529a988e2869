"""Which blobs an Event Grid event is about, in the Event Grid schema or as a CloudEvent.

Nothing in an event is fetched or believed: the topic must be our storage account, and the subject names the blob.
"""

import logging
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import azure.functions as func
from azure.eventgrid import SystemEventNames

from shared.wire.faults import ascii_safe, has_lone_surrogate

log = logging.getLogger("labelbridge.events")
type Blob = tuple[str, str]

_PREFIX = "/blobServices/default/containers/"
_RENAMED = SystemEventNames.StorageBlobRenamedEventName.value
_KINDS = frozenset(
    {
        SystemEventNames.StorageBlobCreatedEventName.value,
        SystemEventNames.StorageBlobDeletedEventName.value,
        _RENAMED,
    }
)


def blobs_of(event: func.EventGridEvent | func.CloudEvent, account: str) -> list[Blob]:
    """(container, blob) of each blob to look at; none for other accounts and other kinds of events.

    What names no blob that there can be is logged and left out: sent again, it would name none either.
    """
    if isinstance(event, func.CloudEvent):
        kind, topic, subject, data = event.type, event.source, event.subject, event.get_json()
    else:
        kind, topic, subject, data = event.event_type, event.topic, event.subject, event.get_json()
    if kind not in _KINDS or not _is_of(topic, account):
        return []
    blob = _from_subject(subject)
    if blob is None:
        return []
    source = _source_of_rename(data, blob[0]) if kind == _RENAMED else None
    return [blob, source] if source else [blob]


def _is_of(topic: Any, account: str) -> bool:
    """The topic is the resource id of the storage account: `.../storageAccounts/{name}`."""
    parts = topic.rstrip("/").rsplit("/", 2) if isinstance(topic, str) else []
    return len(parts) == 3 and parts[1].lower() == "storageaccounts" and parts[2].lower() == account.lower()


def _from_subject(subject: Any) -> Blob | None:
    if not isinstance(subject, str) or not subject.startswith(_PREFIX):
        return None
    container, separator, name = subject.removeprefix(_PREFIX).partition("/blobs/")
    return _blob(container, name, subject) if separator else None


def _source_of_rename(data: Any, container: str) -> Blob | None:
    """The old name, read off the address in the event; a rename stays within its container."""
    address: Any = cast("dict[str, Any]", data).get("sourceUrl") if isinstance(data, dict) else None
    if not isinstance(address, str):
        return None
    try:
        path = unquote(urlsplit(address).path)
    except ValueError as error:
        log.warning("An event is left out: its sourceUrl '%s' is none (%s)", ascii_safe(address[:200]), error)
        return None
    _, separator, name = path.partition(f"/{container}/")
    return _blob(container, name, address) if separator else None


def _blob(container: str, name: str, given: str) -> Blob | None:
    if container and 1 <= len(name) <= 1_024 and not has_lone_surrogate(container + name):
        return container, name
    log.warning("An event is left out: '%s' names no blob that there can be", ascii_safe(given[:200]))
    return None
