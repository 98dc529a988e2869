"""Queue functions: one a queue, and one for what failed too often.

They raise on failure, and the host delivers again; what is poisoned ends as a failed outcome with its reason. Only a
message that can never be read is dropped, with a line in the log.
"""

import logging
from collections.abc import Awaitable, Callable

import azure.functions as func

from functions.triggers import Triggers
from shared.runtime.container import Container, container
from shared.services.messages import BadMessage, BatchMessage, JobMessage, Message, PlanMessage, parse

triggers = Triggers()
log = logging.getLogger("labelbridge.queues")
TOO_OFTEN = "The work failed five times; the log has the reason of each try."


async def handle[M: Message](
    message: func.QueueMessage, kind: type[M], work: Callable[[Container, M], Awaitable[object]]
) -> None:
    """Read the message and do its work."""
    try:
        parsed = parse(kind, message.get_body().decode("utf-8", "replace"))
    except BadMessage as error:
        log.error("A queue message is dropped: %s", error)  # noqa: TRY400 - the trace says nothing more
        return
    await work(container(), parsed)


@triggers.queue("autolabel-plan")
async def plan_autolabel(message: func.QueueMessage) -> None:
    """Plan the uploads of a project, or a job that a caller began."""
    await handle(message, PlanMessage, lambda app, one: app.planner.plan(one))


@triggers.queue("autolabel-plan-poison")
async def plan_autolabel_poison(message: func.QueueMessage) -> None:
    """Nothing is lost: the uploads wait in their rows, and the sweep plans them again."""
    log.error("Planning failed too often; the sweep tries again. Message: %s", message.id)


@triggers.queue("autolabel-batch")
async def run_autolabel_batch(message: func.QueueMessage) -> None:
    """Run one batch of a job."""
    await handle(message, BatchMessage, lambda app, one: app.runner.run_batch(one))


@triggers.queue("autolabel-batch-poison")
async def run_autolabel_batch_poison(message: func.QueueMessage) -> None:
    """The documents of the batch get a failed outcome with the reason."""
    await handle(message, BatchMessage, lambda app, one: app.batches.give_up(one, TOO_OFTEN))


@triggers.queue("jobs")
async def run_job(message: func.QueueMessage) -> None:
    """Begin, or go on with, a job that is no batch job: scan, autolabel plan, reconcile."""
    await handle(message, JobMessage, lambda app, one: app.runner.run(one))


@triggers.queue("jobs-poison")
async def run_job_poison(message: func.QueueMessage) -> None:
    """The job ends as failed with the reason."""
    await handle(message, JobMessage, lambda app, one: app.runner.give_up(one, TOO_OFTEN))


@triggers.queue("training")
async def run_training(message: func.QueueMessage) -> None:
    """Train or evaluate a model."""
    await handle(message, JobMessage, lambda app, one: app.runner.run(one))


@triggers.queue("training-poison")
async def run_training_poison(message: func.QueueMessage) -> None:
    """The training ends as failed with the reason."""
    await handle(message, JobMessage, lambda app, one: app.runner.give_up(one, TOO_OFTEN))


@triggers.queue("review-bulk")
async def run_bulk_review(message: func.QueueMessage) -> None:
    """Run one batch of a bulk decision."""
    await handle(message, BatchMessage, lambda app, one: app.runner.run_batch(one))


@triggers.queue("review-bulk-poison")
async def run_bulk_review_poison(message: func.QueueMessage) -> None:
    """The batch of the bulk decision ends with the reason."""
    await handle(message, BatchMessage, lambda app, one: app.bulk.give_up(one, TOO_OFTEN))


@triggers.queue("connection")
async def advance_connection(message: func.QueueMessage) -> None:
    """Do the due steps of a connection."""
    await handle(message, JobMessage, lambda app, one: app.connection.run(one))


@triggers.queue("connection-poison")
async def advance_connection_poison(message: func.QueueMessage) -> None:
    """The operation is taken back where that is possible; its job says why."""
    await handle(message, JobMessage, lambda app, one: app.connection.give_up(one, TOO_OFTEN))
