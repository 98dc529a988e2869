"""Batches run at least once, maybe twice, maybe at the same time, and die anywhere (rules A5, A6)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from shared.domain.errors import Conflict
from shared.domain.jobs import Job, JobKind, JobStatus, Outcome
from shared.domain.names import BATCH_QUEUE
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.dispatch import PAUSES
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.storage.gateways.ports import StorageUnavailable
from tests.support.services import App, Clock, in_process, logged, result_json
from tests.support.storage.faults import Crash, Faults, LostAnswer, Plan, crash_at
from tests.support.storage.memory import MemoryStorage

TEXTS = {f"{n}.txt": f"@Refund:{50 + n} number {n}" for n in range(12)}


def message(job: Job, number: int = 0) -> str:
    return BatchMessage(
        project=job.project, incarnation=job.incarnation, kind=job.kind, job=job.id, number=number
    ).model_dump_json()


async def labeled(app: App) -> None:
    """A project with documents to label, none of which has a suggestion."""
    await app.create(on_upload=False)
    await app.upload(TEXTS)
    await app.define("Refund")


async def state(app: App) -> Mapping[str, tuple[object, ...]]:
    """What people see: of each document its labels and suggestions, of the job its outcomes."""
    seen: dict[str, tuple[object, ...]] = {}
    for location in TEXTS:
        document = await app.document(location)
        assert document is not None
        items = document.suggestions.items if document.suggestions else ()
        seen[location] = (document.labels, items, document.planned == document.content)
    for job in await app.jobs():
        seen[job.id] = (
            job.status,
            result_json(job)["outcomes"],
            await app.container.autolabel.outcomes("p", job.id),
        )
    return seen


async def test_a_batch_of_a_finished_job_changes_nothing(app: App) -> None:
    await labeled(app)
    job = await app.autolabel()
    before = await app.rows()

    for number in (*range(len(job.batches)), len(job.batches), 99):
        await app.deliver(BATCH_QUEUE, message(job, number))

    assert await app.rows() == before
    assert not app.sent.waiting


async def test_a_batch_of_a_running_job_changes_nothing_the_second_time(app: App) -> None:
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"@Refund:50 number {n}" for n in range(80)})
    await app.define("Refund")
    job = await _planned(app)
    assert len(job.batches) > 1
    await app.deliver(BATCH_QUEUE, message(job))
    before = await app.rows()

    await app.deliver(BATCH_QUEUE, message(job))

    assert await app.rows() == before


async def test_a_batch_that_runs_twice_at_once_gives_the_state_of_once(app: App) -> None:
    await labeled(app)
    job = await _planned(app)

    await asyncio.gather(*(app.deliver(BATCH_QUEUE, message(job)) for _ in range(5)))
    await app.drain()

    [job] = await app.jobs()
    assert job.status is JobStatus.SUCCEEDED
    assert result_json(job)["outcomes"]["suggested"] == len(TEXTS)
    assert result_json(job)["documentsTotal"] == len(TEXTS)


async def test_every_crash_of_a_job_ends_in_the_state_without_one(clock: Clock) -> None:
    whole = in_process(MemoryStorage(clock=clock), clock)
    await labeled(whole)
    await whole.autolabel()
    expected = await state(whole)

    for number in count():
        before = await _crashed(clock, crash_at(number, "before"), expected)
        if len(before.calls) <= number:
            break  # the job makes no such call
        await _crashed(clock, crash_at(number, "after"), expected)
    assert number > 15


async def test_every_lost_answer_of_a_job_ends_in_the_state_without_one(clock: Clock) -> None:
    whole = in_process(MemoryStorage(clock=clock), clock)
    await labeled(whole)
    await whole.autolabel()
    expected = await state(whole)

    for number in count():
        faults = await _crashed(
            clock, lambda call, number=number: LostAnswer() if call.number == number else None, expected
        )
        if len(faults.calls) <= number:
            break
    assert number > 15


async def test_a_failed_batch_names_the_reason(app: App) -> None:
    await app.create(on_upload=False)
    await app.upload({"bad.txt": "@fail"})
    await app.define("Refund")
    job = await _planned(app)

    await app.fail_five_times(BATCH_QUEUE, message(job))

    job = await app.container.autolabel.get("p", job.id)
    assert job.status is JobStatus.FAILED
    [outcome] = await app.container.autolabel.outcomes("p", job.id)
    assert outcome.outcome is Outcome.FAILED
    assert outcome.error is not None
    assert "RuntimeError" in outcome.error.message
    assert job.errors == (outcome.error,)
    assert result_json(job)["textRecords"] == 0


async def test_a_failed_job_can_be_tried_again(app: App) -> None:
    await test_a_failed_batch_names_the_reason(app)
    [failed] = await app.jobs()
    await app.upload({"bad.txt": "@Refund:80 and well"})
    await app.drain()

    await app.container.autolabel.retry("p", failed.id, "again")
    await app.drain()

    job = await app.container.autolabel.get("p", "again")
    assert (job.status, result_json(job)["outcomes"]["suggested"]) == (JobStatus.SUCCEEDED, 1)


async def test_a_job_without_failures_cannot_be_tried_again(app: App) -> None:
    await labeled(app)
    job = await app.autolabel()

    with pytest.raises(Conflict, match="No document of the job failed"):
        await app.container.autolabel.retry("p", job.id, "again")


async def test_nothing_of_a_cancelled_job_appears_afterwards(app: App) -> None:
    await labeled(app)
    job = await _planned(app)

    await app.container.autolabel.cancel("p", job.id)
    before = await app.rows()
    for number in range(len(job.batches)):
        await app.deliver(BATCH_QUEUE, message(job, number))

    assert await app.rows() == before
    job = await app.container.autolabel.get("p", job.id)
    assert job.status is JobStatus.CANCELLED
    again = await app.container.autolabel.cancel("p", job.id)
    assert again == job


async def test_a_batch_in_the_middle_of_its_work_cannot_land_after_the_cancel(
    storage: MemoryStorage, clock: Clock
) -> None:
    app = in_process(storage, clock)
    await labeled(app)
    job = await _planned(app)
    other = in_process(storage, clock)
    cancelled = asyncio.Event()

    async def inspect(*arguments: Any) -> Any:
        if not cancelled.is_set():
            cancelled.set()
            await other.container.autolabel.cancel("p", job.id)
        return await uploads.inspect_batch(*arguments)

    uploads = app.container.stores.uploads
    app.container.batches._stores = replace(app.container.stores, uploads=_With(uploads, inspect))  # type: ignore[arg-type]
    await app.deliver(BATCH_QUEUE, message(job))

    assert cancelled.is_set()
    document = await app.document("0.txt")
    assert document is not None
    assert document.suggestions is None
    assert (await app.container.autolabel.get("p", job.id)).status is JobStatus.CANCELLED


async def test_a_model_that_cannot_be_loaded_shows_its_stack_in_the_fifth_try(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await labeled(app)
    job = await _planned(app)

    async def fails(*_: object) -> None:
        raise RuntimeError(quoted)

    quoted = "secret words"
    monkeypatch.setattr(app.container.batches._models, "load", fails)
    app.sent.waiting.append((BATCH_QUEUE, message(job)))
    while app.sent.waiting:
        await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))

    assert (await app.container.autolabel.get("p", job.id)).status is JobStatus.FAILED
    assert [bool(record.exc_info) for record in logged(caplog)] == [False] * len(PAUSES) + [True, False]
    assert "last attempt failed for 12 documents: RuntimeError" in logged(caplog)[-1].getMessage()
    assert quoted not in caplog.text


async def test_a_batch_that_fails_within_the_request_goes_on_by_the_queue(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    await app.create(on_upload=False)
    await app.upload({"bad.txt": "@fail"})
    await app.define("Refund")
    await app.fit()
    app.sent.waiting.clear()

    await app.container.autolabel.start("p", AutolabelRequest(), "job")

    [(queue, body)] = [(queue, body) for queue, body in app.sent.waiting if queue == BATCH_QUEUE]
    await app.fail_five_times(queue, body)
    assert (await app.container.autolabel.get("p", "job")).status is JobStatus.FAILED
    [line] = [record for record in caplog.records if "the queue will retry it" in record.getMessage()]
    assert line.getMessage().endswith("retry it: RuntimeError")
    assert not line.exc_info, "the last try has the stack"


class _With:
    """Uploads whose `inspect_batch` is another one."""

    def __init__(self, inner: Any, inspect: Any) -> None:
        self._inner, self.inspect_batch = inner, inspect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def _planned(app: App) -> Job:
    """A job whose batches are queued and not begun: the request dies after it wrote the job."""
    await app.fit()
    start = app.container.autolabel
    start._begin = _itself  # type: ignore[method-assign]  # as if it took too long
    await start.start("p", AutolabelRequest(), "job")
    del start._begin  # type: ignore[method-assign]
    app.sent.waiting = type(app.sent.waiting)(m for m in app.sent.waiting if "job" in m[1])
    [job] = [m for m in app.sent.waiting if '"kind":"autolabel"' in m[1]]
    app.sent.waiting.clear()
    await app.deliver(*job)
    app.sent.waiting.clear()
    return await app.container.autolabel.get("p", "job")


async def _itself(job: Job) -> Job:
    return job


async def _crashed(
    clock: Clock, plan: Plan | None, expected: Mapping[str, tuple[object, ...]] | None = None
) -> Faults:
    """A job whose process dies or loses an answer by the plan; another goes on, as sweeps and messages make it."""
    storage = MemoryStorage(clock=clock)
    await labeled(in_process(storage, clock))
    faults = Faults(plan)
    first = in_process(storage, clock, table=faults.table(storage.table("projects")))
    try:
        await first.container.autolabel.start("p", AutolabelRequest(), "job")
        await first.drain()
    except (Crash, StorageUnavailable):
        assert plan is not None
    survivor = in_process(storage, clock)
    if not await survivor.jobs():
        await survivor.container.autolabel.start("p", AutolabelRequest(), "job")  # the caller tries again
    for _ in range(6):
        clock.move(30)
        await survivor.container.maintenance.sweep()
        await survivor.drain()
    if expected is not None:
        assert await state(survivor) == expected, f"{[c for c in faults.calls if plan and plan(c)]}"
        assert await survivor.jobs(JobKind.REGISTER) == []
    return faults
