"""Work that comes from queues: one table says what runs each kind of job, runs its batches, and gives it up."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from shared import telemetry
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.services.jobs.lifecycle import JobService
from shared.services.jobs.messages import (
    EVENT_QUEUE,
    FORMER_QUEUES,
    QUEUES,
    BadMessage,
    BatchMessage,
    JobMessage,
    PlanMessage,
    Work,
    parse,
    queue_of,
)
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import Received

log = logging.getLogger("labelbridge.jobs")

#: Seconds before a message that failed is tried again; after the last try its work is given up.
PAUSES = (1, 2, 5, 10)
TOO_OFTEN = "The work failed five times; the log has the reasons."
#: Seconds that the work of one message may take: far below `functionTimeout` (host.json), at which the host ends the
#: worker process with everything that it is doing. What is left then, another try does; a fit ends its own process.
STEP_SECONDS: Final = 300
BATCH_SECONDS: Final = 600
#: Of kinds that read or write a whole project in one message; a push begins with the file that an export writes.
LIMITS: Final[Mapping[str, int]] = {
    **dict.fromkeys((JobKind.SCAN, "reconcile", JobKind.IMPORT, JobKind.EXPORT, JobKind.PUSH), 600),
    **dict.fromkeys((JobKind.FIT, JobKind.TRAIN, JobKind.EVALUATE), 900),
}
#: Where the host puts an upload whose function failed five times within a second.
BLOB_TRIGGER_POISON = "webjobs-blobtrigger-poison"
#: How long a message that the sweep reads is hidden from another sweep.
HIDDEN_SECONDS = 60
#: After this time a sweep reads at most 32 messages of each queue that is left; the next sweep goes on.
SWEEP_SECONDS = 60


class TookTooLong(Exception):
    loggable = True

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The work took longer than its limit of {seconds // 60} minutes.")


def limit_of(message: Work) -> int:
    """Seconds that the work of a message may take."""
    match message:
        case PlanMessage():
            return STEP_SECONDS
        case BatchMessage():
            return BATCH_SECONDS
        case JobMessage():
            return LIMITS.get(message.kind, STEP_SECONDS)


@dataclass(frozen=True, slots=True)
class Handlers:
    """Who does the work of a kind of job. `fail` ends a job where ending its row is not all."""

    run: Callable[[JobMessage], Awaitable[object]] | None = None
    run_batch: Callable[[BatchMessage], Awaitable[object]] | None = None
    fail: Callable[[Job, JobError], Awaitable[object]] | None = None
    give_up_batch: Callable[[BatchMessage, str], Awaitable[object]] | None = None


NO_HANDLERS = Handlers()


class Dispatcher:
    """A kind without handlers is left over from another version: its messages are dropped."""

    def __init__(
        self,
        stores: Stores,
        jobs: JobService,
        plan: Callable[[PlanMessage], Awaitable[object]],
        handlers: Mapping[str, Handlers],
        timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ) -> None:
        self._timeout = timeout
        self._stores = stores
        self._jobs = jobs
        self._plan = plan
        self._handlers = handlers

    async def run(self, message: Work) -> None:
        """Do the work of a message, in the trace of who sent it. Raises what fails, to be tried again; TookTooLong at
        its limit.
        """
        limit = limit_of(message)
        scope = self._timeout(limit)
        name, attributes = _named(message)
        try:
            with telemetry.span(name, kind="consumer", parent=message.trace, **attributes):
                async with scope:
                    await self._work(message)
        except TimeoutError:
            if not scope.expired():
                raise
            raise TookTooLong(limit) from None

    async def _work(self, message: Work) -> None:
        if isinstance(message, PlanMessage):
            await self._plan(message)
            return
        handlers = self._handlers.get(message.kind, NO_HANDLERS)
        if isinstance(message, BatchMessage):
            if handlers.run_batch is not None:
                await handlers.run_batch(message)
        elif handlers.run is not None:
            await handlers.run(message)

    async def run_or_retry(self, message: Work) -> None:
        """Do the work; when it fails, send the message again after a pause, and after five tries give it up.

        The host would log the stack of an exception twice for each try, so only what fails here is left to it.
        """
        try:
            await self.run(message)
        except Exception as error:
            attempt = min(message.attempt, len(PAUSES) + 1)
            text = "Attempt %d of %d failed: %s (%s)"
            facts = (attempt, len(PAUSES) + 1, _described(message), telemetry.in_line(error))
            _, ids = _named(message)
            if attempt > len(PAUSES):
                log.error(text, *facts, exc_info=telemetry.without_message(error), extra=ids)  # noqa: TRY400 - no text
                await self.give_up(message, str(error) if isinstance(error, TookTooLong) else TOO_OFTEN)
                return
            log.warning(text, *facts, extra=ids)  # the stack comes with the last attempt
            again = message.model_copy(update={"attempt": attempt + 1})
            await self._stores.queues.send(
                queue_of(again), again.model_dump_json(), delay=PAUSES[attempt - 1]
            )

    async def give_up(self, message: Work, reason: str) -> None:
        """End the work with the reason. What a plan is about stays pending, and the sweep plans it again."""
        name, attributes = _named(message)
        with telemetry.span(f"give up {name}", kind="consumer", parent=message.trace, **attributes):
            await self._give_up(message, reason)

    async def _give_up(self, message: Work, reason: str) -> None:
        kind = "plan" if isinstance(message, PlanMessage) else message.kind
        telemetry.count("labelbridge.work.given_up", kind=kind)
        if isinstance(message, PlanMessage) or message.kind not in JobKind:
            log.error("Giving up after repeated failures: %s", _described(message))
            return
        handlers = self._handlers.get(message.kind, NO_HANDLERS)
        if isinstance(message, BatchMessage):
            if handlers.give_up_batch is not None:
                await handlers.give_up_batch(message, reason)
            return
        job = await self._stores.jobs.find(message.incarnation, JobKind(message.kind), message.job)
        if job is None:
            return
        error = JobError("JobFailed", reason)
        if handlers.fail is not None:
            await handlers.fail(job, error)
        else:
            await self._jobs.end(job, JobStatus.FAILED, errors=(error,))


#: Whether the message is settled and can be deleted.
type Action = Callable[[Received], Awaitable[bool]]


class QueueSweep:
    """Takes up what the host's triggers do not see: poison queues, and the queues of the version before.

    `seen` records an upload as pending.
    """

    def __init__(
        self, stores: Stores, dispatcher: Dispatcher, seen: Callable[[str, str], Awaitable[object]]
    ) -> None:
        self._stores = stores
        self._dispatcher = dispatcher
        self._seen = seen
        self._former_seen = False
        self._stacks = telemetry.Stacks()

    async def run(self, blob_function: str, *, former: bool = False) -> None:
        """`blob_function`: name of the function with the blob trigger, whose poisoned uploads become pending.

        `former`: read the queues of the version before, too, as the first run of a process always does.
        """
        until = self._stores.clock() + timedelta(seconds=SWEEP_SECONDS)
        for queue in QUEUES:
            await self._each(f"{queue}-poison", self._give_up, until)
        if self._stores.outbox.enabled:
            await self._each(f"{EVENT_QUEUE}-poison", self._drop, until)
        await self._each(BLOB_TRIGGER_POISON, partial(self._record_upload, blob_function), until)
        if former or not self._former_seen:
            read = [
                await self._each(queue, action, until)
                for former_queue in FORMER_QUEUES
                for queue, action in (
                    (former_queue, self._forward),
                    (f"{former_queue}-poison", self._give_up),
                )
            ]
            self._former_seen = all(read)

    async def _each(self, queue: str, action: Action, until: datetime) -> bool:
        """Do this with the messages of a queue and delete those that are settled; what fails comes again later.

        Whether the queue was read to its end. A queue that cannot be read leaves the others to the sweep.
        """
        try:
            while received := await self._stores.queues.receive(queue, HIDDEN_SECONDS):
                settled = [await self._settle(queue, message, action) for message in received]
                if self._stores.clock() >= until:
                    return False
                if not any(settled):  # what is left is not ours, or fails
                    return True
        except Exception as error:  # noqa: BLE001 - whatever it is, the other queues are read
            text = "The queue '%s' could not be read; the next sweep will read it (%s: %s)"
            log.error(text, queue, type(error).__name__, str(error)[:300])  # noqa: TRY400 - in an outage, of each queue
            return False
        return True

    async def _settle(self, queue: str, message: Received, action: Action) -> bool:
        """Whether the message is done with and deleted."""
        try:
            if not await action(message):
                return False
            await self._stores.queues.delete(queue, message)
        except Exception as error:
            text = "A message in the queue '%s' failed; the next sweep will retry it: %s"
            stack = self._stacks.of(error)
            log.error(text, queue, telemetry.in_line(error), exc_info=stack)  # noqa: TRY400 - the stack once
            return False
        if queue.endswith("-poison"):
            telemetry.count("labelbridge.poison_messages", queue=queue.removesuffix("-poison"))
        return True

    async def _give_up(self, message: Received) -> bool:
        try:
            work = parse(message.body)
        except BadMessage as error:
            log.error("Dropped an unreadable message from a poison queue: %s", error)  # noqa: TRY400 - no trace helps
            return True
        await self._dispatcher.give_up(work, TOO_OFTEN)
        return True

    async def _drop(self, message: Received) -> bool:
        """The row of the outbox is still there, and the sweep of events sends another message for it."""
        log.error("Dropped a message from the poison queue of events: %s", message.body[:200])
        return True

    async def _forward(self, message: Received) -> bool:
        try:
            work = parse(message.body)
        except BadMessage as error:
            log.error("Dropped an unreadable message of an earlier version: %s", error)  # noqa: TRY400 - no trace helps
            return True
        await self._stores.queues.send(queue_of(work), work.model_dump_json())
        return True

    async def _record_upload(self, blob_function: str, message: Received) -> bool:
        """The queue belongs to all apps of the storage account: messages of others are left alone."""
        try:
            data: Any = json.loads(message.body)
            function, container, name = data["FunctionId"], data["ContainerName"], data["BlobName"]
        except (ValueError, KeyError, TypeError):
            return False
        if str(function).rpartition(".")[2] != blob_function:
            return False
        await self._seen(str(container), str(name))
        return True


def _named(message: Work) -> tuple[str, dict[str, telemetry.Attribute]]:
    """Name and attributes of the span around the work."""
    attributes: dict[str, telemetry.Attribute] = {"project": message.project, "attempt": message.attempt}
    match message:
        case BatchMessage():
            return f"batch {message.kind}", attributes | {"job": message.job, "batch": message.number}
        case JobMessage():
            return f"job {message.kind}", attributes | {"job": message.job}
        case PlanMessage():
            return "plan", attributes | {"plan": message.id}


def _described(message: Work) -> str:
    match message:
        case BatchMessage():
            return (
                f"batch {message.number} of the {message.kind} job {message.job}, project '{message.project}'"
            )
        case JobMessage():
            return f"{message.kind} job {message.job}, project '{message.project}'"
        case PlanMessage():
            return f"plan of the project '{message.project}'"
