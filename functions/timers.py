"""Timers. Their schedules are settings; the host runs one of each at a time, in one instance."""

import azure.functions as func

from functions.call import container
from functions.triggers import Triggers
from functions.uploads import document_uploaded
from shared.domain.schedule import Schedule
from shared.runtime.settings import load_settings

triggers = Triggers()


@triggers.timer(load_settings().sweep_schedule)
async def sweep_jobs(timer: func.TimerRequest) -> None:
    """Restart stalled work, end what is done, purge what is over; compare containers with documents when that is due.

    Events are hints, the listing of a container is the truth.
    """
    app = container()
    reconciled = await app.maintenance.reconcile_if_due(Schedule.parse(app.settings.reconcile_schedule))
    await app.queue_sweep.run(document_uploaded.__name__, former=reconciled)
    await app.maintenance.sweep(everything=reconciled)
    await app.connection.sweep()
    await app.events.sweep(everything=reconciled)


@triggers.timer(load_settings().sync_schedule)
async def sync_labels(timer: func.TimerRequest) -> None:
    """Import the labels of every project whose labeling is active in Azure Machine Learning."""
    await container().connection.sync_all()
