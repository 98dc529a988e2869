"""Queue functions: one for each kind of work, which the platform scales alone.

A message that fails is sent again, and after five tries its work ends with the reason. No function reads a poison
queue, where the host puts what ended its worker five times: the sweep does.
"""

import logging
from datetime import UTC, datetime

import azure.functions as func

from functions.call import container
from functions.triggers import Triggers
from shared import telemetry
from shared.runtime.settings import load_settings
from shared.services.jobs.messages import (
    BATCH_QUEUE,
    EVENT_QUEUE,
    FIT_QUEUE,
    WORK_QUEUE,
    BadMessage,
    parse,
    parse_event,
    queue_of,
)

triggers = Triggers()
log = logging.getLogger("labelbridge.queues")
SETTINGS = load_settings()
PREFIX = SETTINGS.table_prefix


async def handle(message: func.QueueMessage) -> None:
    """Do the work of a message; one that can never be read is dropped."""
    try:
        work = parse(message.get_body().decode("utf-8", "replace"))
    except BadMessage as error:
        log.error("Dropped an unreadable queue message: %s", error)  # noqa: TRY400 - the trace says nothing more
        return
    age = (datetime.now(UTC) - message.insertion_time).total_seconds() if message.insertion_time else None
    if age is not None:
        telemetry.measure("labelbridge.queue.age", max(age, 0), queue=queue_of(work))
    await container().dispatcher.run_or_retry(work)


@triggers.queue(f"{PREFIX}-{WORK_QUEUE}")
async def run_work(message: func.QueueMessage) -> None:
    """Do a short step: a plan, a job, a batch of a bulk decision, or steps of a connection."""
    await handle(message)


@triggers.queue(f"{PREFIX}-{BATCH_QUEUE}")
async def run_batch(message: func.QueueMessage) -> None:
    """Run one batch of documents, with an engine if there are suggestions to make."""
    await handle(message)


@triggers.queue(f"{PREFIX}-{FIT_QUEUE}")
async def run_fit(message: func.QueueMessage) -> None:
    """Train or evaluate a model."""
    await handle(message)


async def send_events(message: func.QueueMessage) -> None:
    """Send events to their receivers. Its messages wait up to 4 hours by intent, so their age says nothing."""
    try:
        event = parse_event(message.get_body().decode("utf-8", "replace"))
    except BadMessage as error:
        log.error("Dropped an unreadable queue message: %s", error)  # noqa: TRY400 - the trace says nothing more
        return
    await container().events.run(event)


if SETTINGS.has_receivers:  # else the host would ask an empty queue, thirty times a minute
    triggers.queue(f"{PREFIX}-{EVENT_QUEUE}")(send_events)
