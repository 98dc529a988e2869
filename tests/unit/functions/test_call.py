"""The answer for the state of a job, which every kind of job has."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

import function_app  # declares the operations  # noqa: F401
from functions.call import cancel_state, job_state
from functions.http import OPERATIONS
from shared.domain.errors import NotFound
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.wire.api import JobModel

AT = datetime(2026, 3, 1, tzinfo=UTC)
JOB = Job("job-1", JobKind.DELETION, "news", "i", "e", AT, AT)


@pytest.mark.parametrize("status", JobStatus)
def test_a_job_that_runs_says_when_to_ask_again(status):
    reply = job_state(replace(JOB, status=status))
    assert reply.data["status"] == status
    assert reply.headers == ({} if status.ended else {"Retry-After": "1"})


def test_every_operation_that_answers_with_a_job_uses_it():
    states = [
        one
        for one in OPERATIONS
        if isinstance(model := one.answers.get(200), type) and issubclass(model, JobModel)
    ]
    assert len(states) >= 11
    for one in states:
        names = one.handler.__code__.co_names
        assert {"job_state", "cancel_state"} & set(names), one.id


def test_a_cancellation_succeeds_when_the_job_has_ended():
    assert cancel_state(replace(JOB, status=JobStatus.CANCELLING)).data["status"] == "running"
    assert cancel_state(replace(JOB, status=JobStatus.CANCELLED)).data["status"] == "succeeded"
    with pytest.raises(NotFound):
        cancel_state(JOB)
