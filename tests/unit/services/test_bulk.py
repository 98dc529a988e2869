"""Bulk decisions run several batches at a time."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.jobs import Batch, BulkParameters, Job, JobKind
from shared.services.jobs.lifecycle import BatchMessage
from shared.services.review import bulk
from tests.support.services import App, Clock


async def test_after_a_failure_batches_under_way_finish_and_no_other_begins(
    app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they have written is counted; a canceled batch could not say it at its next try."""
    await app.create()
    project = await app.container.stores.directory.read(app.name)
    parameters = BulkParameters("Ana", True, None, None, None, None, None)
    job = Job.new(JobKind.REVIEW, "job", project, clock(), parameters)
    job = replace(job, batches=tuple(Batch(number, number + 1, 1) for number in range(40)))
    begun: list[int] = []
    finished: list[int] = []

    async def run(_stores: Any, _jobs: Any, message: BatchMessage, *_: Any, **__: Any) -> None:
        begun.append(message.number)
        await asyncio.sleep(0)
        if message.number == 1:
            raise OSError("The storage is away.")
        for _turn in range(5):
            await asyncio.sleep(0)
        finished.append(message.number)

    monkeypatch.setattr(bulk, "run_leased", run)
    with pytest.raises(OSError, match="away"):
        await app.container.bulk._work(job)
    assert len(begun) < 20
    assert set(begun) - {1} == set(finished)
