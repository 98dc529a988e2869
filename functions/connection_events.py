"""What drives a connection without a caller: its queue, and the timer that imports labels."""

import azure.functions as func

from functions.queues import TOO_OFTEN, handle
from functions.triggers import Triggers
from shared.runtime.container import container
from shared.services.messages import JobMessage

triggers = Triggers()


@triggers.queue("connection")
async def advance_connection(message: func.QueueMessage) -> None:
    """Do the due steps of a connection."""
    await handle(message, JobMessage, lambda app, one: app.connection.run(one))


@triggers.queue("connection-poison")
async def advance_connection_poison(message: func.QueueMessage) -> None:
    """The operation is taken back where that is possible; its job says why."""
    await handle(message, JobMessage, lambda app, one: app.connection.give_up(one, TOO_OFTEN))


@triggers.timer("SYNC_SCHEDULE")
async def sync_labels(timer: func.TimerRequest) -> None:
    """Import the labels of every project whose labeling is active in Azure Machine Learning."""
    await container().connection.sync_all()
