"""Functions that run in the background: on events of the storage account, on queue messages, and by timers.

An event only names what to inspect; nothing else in it is used or trusted. Each kind of work has its own queue, so that
the platform scales it separately. A message that fails is sent again; after five attempts its work fails with the
reason. Poison queues, where the host moves messages whose worker crashed five times, are read by the sweep, not by a
function.

Names and schedules are read from the settings when the module is imported, because the host silently omits a function
whose binding names a missing setting; the app's settings have defaults.
"""

import asyncio
import functools
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import azure.functions as func
from azurefunctions.extensions.base import (  # pyright: ignore[reportMissingTypeStubs] - it ships none
    Datum,
    InConverter,
    SdkType,
)

from functions import container
from shared import telemetry
from shared.domain.errors import BadMessage
from shared.domain.names import BATCH_QUEUE, EVENT_QUEUE, FIT_QUEUE, WORK_QUEUE
from shared.domain.schedule import Schedule
from shared.domain.text import ascii_safe, has_lone_surrogate
from shared.runtime.settings import load_settings

SETTINGS = load_settings()
QUEUES = SETTINGS.table_prefix
STACKS = telemetry.Stacks()
CONNECTION = "AzureWebJobsStorage"
#: Time limits in seconds of an event and of a timer: far below `functionTimeout` (host.json), at which the host kills
#: the worker process with all its invocations. Queue messages have limits by kind of work.
EVENT_SECONDS = 60
TIMER_SECONDS = 900
#: Time limit of each part of the sweep except the last, so that a hanging part does not use up the time of the others.
PART_SECONDS = 60
#: The time limit of a batch: one that crashed its worker five times runs once more and keeps what it can.
QUEUES_SECONDS = 600
log = logging.getLogger("labelbridge.background")
_SUBJECT = "/blobServices/default/containers/"
_LOST = "\ufffd"
"""Replaces a character beyond 16 bits in a subject; the address in the event still has it."""
_CREATED = "Microsoft.Storage.BlobCreated"
_FOLDERS = frozenset({"Microsoft.Storage.DirectoryDeleted", "Microsoft.Storage.DirectoryRenamed"})
_KINDS = _FOLDERS | {_CREATED, "Microsoft.Storage.BlobDeleted", "Microsoft.Storage.BlobRenamed"}
_EMPTY = "CreateFile"
"""The call that makes an empty file in a hierarchical namespace; the event of its `FlushWithClose` follows."""

type Body = Callable[[Any], Awaitable[None]]


class Triggers:
    """The event-driven functions of one file, on a blueprint. The body's parameter name is the binding's."""

    def __init__(self) -> None:
        self.blueprint: Any = func.Blueprint()

    def queue(self, name: str) -> Callable[[Body], Body]:
        """A message in the queue of this name."""
        return self._register(
            lambda: self.blueprint.queue_trigger(arg_name="message", queue_name=name, connection=CONNECTION)
        )

    def timer(self, schedule: str) -> Callable[[Body], Body]:
        """A moment of a schedule in NCRONTAB."""
        return self._register(
            lambda: self.blueprint.timer_trigger(arg_name="timer", schedule=schedule, use_monitor=True),
            TIMER_SECONDS,
        )

    def blob(self, path: str) -> Callable[[Body], Body]:
        """A blob that was written, as Event Grid reports it."""
        return self._register(
            lambda: self.blueprint.blob_trigger(
                arg_name="blob", path=path, connection=CONNECTION, source=func.BlobSource.EVENT_GRID
            ),
            EVENT_SECONDS,
        )

    def event(self) -> Callable[[Body], Body]:
        """An event of an Event Grid subscription."""
        return self._register(lambda: self.blueprint.event_grid_trigger(arg_name="event"), EVENT_SECONDS)

    def _register(self, trigger: Callable[[], Any], seconds: float | None = None) -> Callable[[Body], Body]:
        def register(body: Body) -> Body:
            @functools.wraps(body)
            async def limited(*arguments: Any, **named: Any) -> None:
                async with asyncio.timeout(seconds):
                    await body(*arguments, **named)

            self.blueprint.function_name(body.__name__)(trigger()(limited if seconds else body))
            return body

        return register


@dataclass(frozen=True, slots=True)
class BlobNames:
    """What the body of a blob trigger gets."""

    container: str
    name: str


class BlobReference(SdkType):
    """The annotation of a blob trigger's parameter, for which the host sends only names.

    For `bytes`, `str` or `InputStream` it would read the content, and Microsoft's own types import the whole blob SDK.
    """

    def __init__(self, *, data: Any = None) -> None:
        super().__init__(data=data)  # pyright: ignore[reportUnknownMemberType]
        self._reference = data

    def get_sdk_type(self) -> Any:
        """The BlobNames in the reference."""
        names: dict[str, str] = json.loads(self._reference.content)
        return BlobNames(names["ContainerName"], names["BlobName"])


class BlobReferenceConverter(InConverter, binding="blob", trigger="blobTrigger"):
    @classmethod
    def check_input_type_annotation(cls, pytype: type) -> bool:
        return issubclass(pytype, BlobReference)

    @classmethod
    def decode(cls, data: Datum, *, trigger_metadata: Any, pytype: Any = None) -> Any:
        """Raises ValueError for anything but a reference to a blob."""
        if data.type != "model_binding_data":
            raise ValueError(f"The blob trigger got {data.type!r} instead of a reference to a blob.")
        return BlobReference(data=data.value).get_sdk_type()


triggers = Triggers()


@dataclass(frozen=True, slots=True)
class Place:
    """A blob to inspect, or a folder (its name ends with `/`) with everything in it."""

    container: str
    name: str
    folder: bool = False


def places_of(event: func.EventGridEvent | func.CloudEvent, account: str) -> list[Place]:
    """What to inspect; nothing for other accounts and other kinds of events.

    A rename has two places: the new name and the old one, which may be in another container. An invalid blob name is
    logged and ignored, because a retry would not help.
    """
    if isinstance(event, func.CloudEvent):
        kind, topic, subject, given = event.type, event.source, event.subject, event.get_json()
    else:
        kind, topic, subject, given = event.event_type, event.topic, event.subject, event.get_json()
    data = cast("dict[str, Any]", given if isinstance(given, dict) else {})
    if kind not in _KINDS or not _is_of(topic, account) or (kind, data.get("api")) == (_CREATED, _EMPTY):
        return []
    names = _from_subject(subject)
    if names is None:
        return []
    if _LOST in names[1]:
        whole = _from_address(data.get("destinationUrl") or data.get("url"), account)
        names = whole if whole is not None and whole[0] == names[0] else names
    former = _from_address(data.get("sourceUrl"), account) if "Renamed" in kind else None
    found = (_place(*address, folder=kind in _FOLDERS) for address in (names, former) if address is not None)
    return [place for place in found if place is not None]


def _is_of(topic: Any, account: str) -> bool:
    """The topic is the resource id of the storage account: `.../storageAccounts/{name}`."""
    parts = topic.rstrip("/").rsplit("/", 2) if isinstance(topic, str) else []
    return len(parts) == 3 and parts[1].lower() == "storageaccounts" and parts[2].lower() == account.lower()


def _from_subject(subject: Any) -> tuple[str, str] | None:
    if not isinstance(subject, str) or not subject.startswith(_SUBJECT):
        return None
    container, separator, name = subject.removeprefix(_SUBJECT).partition("/blobs/")
    return (container, name) if separator else None


def _from_address(address: Any, account: str) -> tuple[str, str] | None:
    """Container and blob of `https://{account}.…/{container}/{blob}`; None for an address elsewhere.

    An emulator's host is an IP address, and the account comes first in its path.
    """
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError as error:
        log.warning("Ignored the address '%s' in an event: %s", ascii_safe(address[:200]), error)
        return None
    path = parts.path.removeprefix("/")
    owner = host.partition(".")[0]
    if owner == "localhost" or owner.isdecimal():
        owner, _, path = path.partition("/")
    container, _, name = path.partition("/")
    return (unquote(container), unquote(name)) if owner.lower() == account.lower() else None


def _place(container: str, name: str, *, folder: bool) -> Place | None:
    name = f"{name.rstrip('/')}/" if folder else name
    if container and name != "/" and 1 <= len(name) <= 1_024 and not has_lone_surrogate(container + name):
        return Place(container, name, folder)
    log.warning("Ignored an event: '%s' is not a valid blob name", ascii_safe(f"{container}/{name}"[:200]))
    return None


@triggers.blob(f"{SETTINGS.documents_container}/{{name}}")
async def document_uploaded(blob: BlobReference) -> None:
    """A blob of the documents container was written."""
    names: Any = blob  # the converter of the annotation makes BlobNames
    with telemetry.span("upload", kind="consumer", container=names.container):
        await container().uploads.seen(names.container, names.name)


@triggers.event()
async def storage_event(event: func.EventGridEvent) -> None:
    """A blob of another container was written, or any blob or directory was deleted or renamed."""
    app = container()
    for place in places_of(event, app.account_name):
        with telemetry.span("storage event", kind="consumer", container=place.container):
            await app.uploads.seen(place.container, place.name, folder=place.folder)


async def handle(message: func.QueueMessage) -> None:
    """Do the work of a message; an unreadable one is dropped."""
    from shared.services.jobs.lifecycle import parse

    try:
        work = parse(message.get_body().decode("utf-8", "replace"))
    except BadMessage as error:
        log.error("Dropped an unreadable queue message: %s", error)  # noqa: TRY400 - the trace says nothing more
        return
    age = (datetime.now(UTC) - message.insertion_time).total_seconds() if message.insertion_time else None
    if age is not None:
        telemetry.measure("labelbridge.queue.age", max(age, 0), queue=container().jobs.kinds.queue_of(work))
    await container().dispatcher.run_or_retry(work)


@triggers.queue(f"{QUEUES}-{WORK_QUEUE}")
async def run_work(message: func.QueueMessage) -> None:
    """Do short work: a plan, a job, a batch of a bulk decision, or steps of a connection."""
    await handle(message)


@triggers.queue(f"{QUEUES}-{BATCH_QUEUE}")
async def run_batch(message: func.QueueMessage) -> None:
    """Run one batch of documents, with an engine if there are suggestions to make."""
    await handle(message)


@triggers.queue(f"{QUEUES}-{FIT_QUEUE}")
async def run_fit(message: func.QueueMessage) -> None:
    """Fit a model for suggestions, or train or evaluate a model."""
    await handle(message)


async def send_events(message: func.QueueMessage) -> None:
    """Send events to their receivers. Messages wait up to 4 hours on purpose, so their age is not recorded."""
    from shared.services.jobs.lifecycle import STEP_SECONDS
    from shared.storage.outbox import parse_event

    try:
        event = parse_event(message.get_body().decode("utf-8", "replace"))
    except BadMessage as error:
        log.error("Dropped an unreadable queue message: %s", error)  # noqa: TRY400 - the trace says nothing more
        return
    async with asyncio.timeout(STEP_SECONDS):  # a row has few events, of which each has 10 s for a receiver
        await container().events.run(event)


if SETTINGS.has_receivers:  # else the host would ask an empty queue, thirty times a minute
    triggers.queue(f"{QUEUES}-{EVENT_QUEUE}")(send_events)


@triggers.timer(SETTINGS.sweep_schedule)
async def sweep_jobs(timer: func.TimerRequest) -> None:
    """Restart stalled work, settle finished jobs, purge old data, and request comparisons of containers when due.

    Events are hints; the listing of a container is authoritative.
    """
    from shared.services.projects.maintenance import Parts

    app, reconciled = container(), False
    parts = Parts("timer", STACKS)
    async with parts.alone("reconcile", PART_SECONDS):
        reconciled = await app.maintenance.reconcile_if_due(Schedule.parse(app.settings.reconcile_schedule))
    async with parts.alone("connections", PART_SECONDS):
        await app.connection.sweep()
    async with parts.alone("events", PART_SECONDS):
        await app.events.sweep(everything=reconciled)
    async with parts.alone("queues", QUEUES_SECONDS):
        await app.queue_sweep.run(document_uploaded.__name__, former=reconciled)
    async with parts.alone("projects and jobs", TIMER_SECONDS):  # last, for it takes longest
        await app.maintenance.sweep(everything=reconciled)
    parts.end()


@triggers.timer(SETTINGS.sync_schedule)
async def sync_labels(timer: func.TimerRequest) -> None:
    """Import the labels of every project whose labeling is active in Azure Machine Learning."""
    await container().connection.sync_all()
