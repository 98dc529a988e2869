"""The answer for the state of a job, which every kind of job has."""

from dataclasses import replace
from datetime import UTC, datetime

import azure.functions as func
import pytest

import function_app  # declares the operations  # noqa: F401
from functions import http
from functions.call import cancel_state, job_state
from functions.http import OPERATIONS, serve
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
        operation
        for operation in OPERATIONS
        if isinstance(model := operation.answers.get(200), type) and issubclass(model, JobModel)
    ]
    assert len(states) >= 11
    for state in states:
        names = state.handler.__code__.co_names
        assert {"job_state", "cancel_state"} & set(names), state.id


def test_a_cancellation_succeeds_when_the_job_has_ended():
    assert cancel_state(replace(JOB, status=JobStatus.CANCELLING)).data["status"] == "running"
    assert cancel_state(replace(JOB, status=JobStatus.CANCELLED)).data["status"] == "succeeded"
    with pytest.raises(NotFound):
        cancel_state(JOB)


async def test_an_unexpected_error_is_logged_with_its_stack_and_without_what_it_quotes(monkeypatch, caplog):
    async def broken(*_):
        raise KeyError(quoted) from ValueError(quoted)

    quoted = "secret words"
    monkeypatch.setattr(http, "_run", broken)
    monkeypatch.setattr(http, "container", object)
    operation = next(candidate for candidate in OPERATIONS if candidate.id == "health")
    answer = await serve(operation, func.HttpRequest("GET", "http://x/health", body=b""))

    assert answer.status_code == 500
    assert answer.headers["apim-request-id"] in caplog.text
    assert "in broken" in caplog.text, "the stack"
    assert "KeyError" in caplog.text
    assert "ValueError" in caplog.text
    assert quoted not in caplog.text
    assert quoted.encode() not in answer.get_body()
