"""What drives a connection without a caller: its queue, and the timer that imports labels."""

import azure.functions as func

from functions.queues import CONNECTION, TOO_OFTEN, handle
from shared.runtime.container import container
from shared.services.messages import JobMessage

blueprint = func.Blueprint()


@blueprint.function_name("advance_connection")
@blueprint.queue_trigger(arg_name="message", queue_name="%TABLE_PREFIX%-connection", connection=CONNECTION)
async def advance_connection(message: func.QueueMessage) -> None:
    """Do the due steps of a connection."""
    await handle(message, JobMessage, lambda app, one: app.connection.run(one))


@blueprint.function_name("advance_connection_poison")
@blueprint.queue_trigger(
    arg_name="message", queue_name="%TABLE_PREFIX%-connection-poison", connection=CONNECTION
)
async def advance_connection_poison(message: func.QueueMessage) -> None:
    """The operation is taken back where that is possible; its job says why."""
    await handle(message, JobMessage, lambda app, one: app.connection.give_up(one, TOO_OFTEN))


@blueprint.function_name("sync_labels")
@blueprint.timer_trigger(arg_name="timer", schedule="%SYNC_SCHEDULE%", use_monitor=True)
async def sync_labels(timer: func.TimerRequest) -> None:
    """Import the labels of every project whose labeling is active in Azure Machine Learning."""
    await container().connection.sync_all()
