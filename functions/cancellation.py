"""Cancelling a job as an operation of its own: it ends `succeeded`, for pollers of Azure's clients wait for that."""

from dataclasses import replace

from functions.http import Call
from functions.reply import Reply
from shared.domain.errors import Conflict, NotFound
from shared.domain.jobs import Job, JobStatus
from shared.wire.answers import job_json

_CANCELLED = frozenset({JobStatus.CANCELLING, JobStatus.CANCELLED})


def accepted(call: Call, job: Job, path: str) -> Reply:
    """The answer of `:cancel`. Raises Conflict for a job that ended by itself just before; `path` is the job's."""
    if job.status not in _CANCELLED:
        raise Conflict(f"The job has ended ({job.status}); it cannot be cancelled.", target="jobId")
    return call.accepted(f"{path}/cancellation")


def state(job: Job) -> Reply:
    """The state of the cancellation. Raises NotFound for a job that nobody cancelled."""
    if job.status not in _CANCELLED:
        raise NotFound(f"The job '{job.id}' was not cancelled.", target="jobId")
    data = job_json(replace(job, errors=(), result={}))
    return Reply(200, data | {"status": "succeeded" if job.status.ended else "running"})
