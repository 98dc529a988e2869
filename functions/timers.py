"""Timers. Their schedules are settings; the host runs one of each at a time, in one instance."""

import azure.functions as func

from shared.runtime.container import container

blueprint = func.Blueprint()


@blueprint.function_name("sweep_jobs")
@blueprint.timer_trigger(arg_name="timer", schedule="%SWEEP_SCHEDULE%", use_monitor=True)
async def sweep_jobs(timer: func.TimerRequest) -> None:
    """Bring back what died, end what is done, purge what is over."""
    await container().maintenance.sweep()


@blueprint.function_name("reconcile_documents")
@blueprint.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%", use_monitor=True)
async def reconcile_documents(timer: func.TimerRequest) -> None:
    """Compare the containers with what is registered: events are hints, the listing is the truth."""
    await container().maintenance.reconcile()
