"""Timers. Their schedules are settings; the host runs one of each at a time, in one instance."""

import azure.functions as func

from functions.triggers import Triggers
from shared.runtime.container import container

triggers = Triggers()


@triggers.timer("SWEEP_SCHEDULE")
async def sweep_jobs(timer: func.TimerRequest) -> None:
    """Bring back what died, end what is done, purge what is over."""
    await container().maintenance.sweep()
    await container().connection.sweep()


@triggers.timer("RECONCILE_SCHEDULE")
async def reconcile_documents(timer: func.TimerRequest) -> None:
    """Compare the containers with what is registered: events are hints, the listing is the truth."""
    await container().maintenance.reconcile()


@triggers.timer("SYNC_SCHEDULE")
async def sync_labels(timer: func.TimerRequest) -> None:
    """Import the labels of every project whose labeling is active in Azure Machine Learning."""
    await container().connection.sync_all()
