"""Jobs (rules A2, A5, A14): outcomes with reasons, partly completed, retry, budgets, cancel."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain.document import document_id
from shared.domain.errors import Conflict
from shared.domain.jobs import JobKind, JobStatus, Outcome
from shared.domain.labels import Prediction
from shared.domain.names import DocumentStatus, ProjectKind
from shared.domain.page import page_of
from shared.domain.project import DEFAULT_PAGES, Project
from shared.services.autolabel.predicting import MAX_FAILURES
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.lifecycle import BatchMessage, parse
from tests.support.engines import ScriptedModel
from tests.support.lives import Life, living
from tests.support.services import Clock, result_json
from tests.support.storage.memory import MemoryStorage

each_kind = pytest.mark.parametrize("kind", list(ProjectKind))


async def ready(app: Life, kind: ProjectKind, texts: dict[str, str]) -> None:
    await app.create(kind, on_upload=False)
    await app.upload(dict(texts), events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.define("Refund", "Login")


async def fail(app: Life, message: tuple[str, str]) -> None:
    """Deliver a batch that fails until the host gives up."""
    for _ in range(5):
        with pytest.raises(RuntimeError):
            await app.deliver(*message)
    await app.container.batches.give_up(_batch(message), "It failed five times.")


def _batch(message: tuple[str, str]) -> BatchMessage:
    parsed = parse(message[1])
    assert isinstance(parsed, BatchMessage)
    return parsed


async def outcomes(app: Life, job_id: str) -> dict[str, tuple[Outcome, str | None]]:
    found = await app.container.autolabel.outcomes(app.name, job_id)
    return {row.location: (row.outcome, row.error.code if row.error else None) for row in found}


#: More than one batch; of the one that holds the poisoned text, only that fails.
TEXTS = {f"{number:04}.txt": "@Refund:73 x" for number in range(700)} | {"bad.txt": "@fail"}


@each_kind
async def test_some_failed_is_partially_completed_and_a_retry_takes_only_those(app: Life, kind: ProjectKind):
    await ready(app, kind, TEXTS)
    await app.planned("job")
    batches = (await app.job(JobKind.AUTOLABEL, "job")).batches
    page = page_of(document_id("bad.txt"), DEFAULT_PAGES)
    while app.sent.waiting:
        message = app.sent.waiting.popleft()
        batch = batches[_batch(message).number]
        await (fail(app, message) if batch.low <= page < batch.high else app.deliver(*message))

    job = await app.container.autolabel.get(app.name, "job")
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert result_json(job)["outcomes"] == {"suggested": 700, "nothingFound": 0, "skipped": 0, "failed": 1}
    assert [error.code for error in job.errors] == ["BatchFailed"]
    found = await outcomes(app, "job")
    assert found["bad.txt"] == (Outcome.FAILED, "BatchFailed")

    await app.upload({"bad.txt": "@Refund:60 repaired"}, events=False)
    retried = await app.container.autolabel.retry(app.name, "job", "again")
    await app.drain()
    assert set(await outcomes(app, retried.id)) == {"bad.txt"}
    again = await app.container.autolabel.get(app.name, "again")
    assert again.status is JobStatus.SUCCEEDED
    assert await app.pending("bad.txt") == ["Refund"]
    with pytest.raises(Conflict, match="No document of the job failed"):
        await app.container.autolabel.retry(app.name, "again", "once more")


async def test_a_job_of_which_all_failed_has_failed_with_a_reason(app: Life):
    await ready(app, ProjectKind.SINGLE_LABEL, {"bad.txt": "@fail"})
    [message] = await app.planned("job")
    await fail(app, message)
    job = await app.container.autolabel.get(app.name, "job")
    assert job.status is JobStatus.FAILED
    assert "It failed five times." in job.errors[0].message


async def test_a_scan_ends_when_each_blob_was_looked_at_also_when_another_listing_asks_too(app: Life):
    await app.create(on_upload=False)
    await app.drain()
    await app.upload({"a.txt": "text"}, events=False)
    registering = app.container.registering
    first = await registering.scan(app.name, "first")
    await registering.scan(app.name, "second")

    assert not (await registering.view(first)).status.ended
    assert not (await registering.get(app.name, "second")).status.ended
    await app.drain()
    for job_id in ("first", "second"):
        assert (await registering.get(app.name, job_id)).status is JobStatus.SUCCEEDED
    assert await app.document("a.txt") is not None


async def test_an_empty_selection_succeeds(app: Life):
    await ready(app, ProjectKind.SINGLE_LABEL, {})
    job = await app.autolabel("job")
    assert (job.status, result_json(job)["documentsTotal"]) == (JobStatus.SUCCEEDED, 0)


async def test_every_document_named_has_an_outcome_with_its_reason(app: Life):
    await ready(app, ProjectKind.SINGLE_LABEL, {"a.txt": "@Refund:73", "none.txt": "nothing", "x.pdf": "x"})
    await app.drain()
    named = ("a.txt", "none.txt", "x.pdf", "~Login.txt", "unknown.txt")
    await app.autolabel("job", documents=tuple(map(document_id, named)))
    assert await outcomes(app, "job") == {
        "a.txt": (Outcome.SUGGESTED, None),
        "none.txt": (Outcome.NOTHING_FOUND, None),
        "x.pdf": (Outcome.SKIPPED, "UnsupportedFileType"),
        "~Login.txt": (Outcome.SKIPPED, "AlreadyLabeled"),
        "": (Outcome.FAILED, "DocumentNotFound"),
    }


async def test_of_a_cancelled_job_nothing_appears(app: Life):
    await ready(app, ProjectKind.MULTI_LABEL, TEXTS | {"bad.txt": "@Login:80"})
    first, *rest = await app.planned("job")
    await app.deliver(*first)
    made = (await app.container.categories.statistics(app.name)).statuses[DocumentStatus.AUTO_LABELED]

    job = await app.container.autolabel.cancel(app.name, "job")

    assert (job.status, job.errors[0].code) == (JobStatus.CANCELLED, "Cancelled")
    for message in (*rest, first):
        await app.deliver(*message)
    assert (
        (await app.container.categories.statistics(app.name)).statuses[DocumentStatus.AUTO_LABELED]
        == made
        > 0
    )
    assert await app.container.autolabel.cancel(app.name, "job") == job


async def test_every_document_of_a_cancelled_job_has_an_outcome(app: Life):
    await ready(app, ProjectKind.MULTI_LABEL, TEXTS | {"bad.txt": "@Login:80"})
    first, *rest = await app.planned("job")
    await app.deliver(*first)

    job = await app.container.autolabel.cancel(app.name, "job")

    assert rest
    counts = result_json(job)["outcomes"]
    assert result_json(job)["documentsTotal"] == counts["suggested"] + counts["skipped"] == len(TEXTS)
    found = await outcomes(app, "job")
    assert found.keys() == TEXTS.keys()
    assert set(found.values()) == {(Outcome.SUGGESTED, None), (Outcome.SKIPPED, "Cancelled")}


async def test_named_documents_of_a_job_that_training_ends_have_an_outcome(app: Life):
    await ready(app, ProjectKind.MULTI_LABEL, {f"{n}.txt": "@Refund:73" for n in range(4)})
    named = tuple(document_id(name) for name in ("0.txt", "3.txt", "~Login.txt", "unknown.txt"))
    [message] = await app.planned("job", documents=tuple(named))
    project = await app.container.stores.projects.get(app.name)
    await app.container.stores.directory.update(
        app.name, lambda now: replace(now, generation=project.generation + 1)
    )

    await app.deliver(*message)

    job = await app.container.autolabel.get(app.name, "job")
    assert (job.status, job.errors[0].code) == (JobStatus.CANCELLED, "TrainingSucceeded")
    assert result_json(job)["outcomes"]["skipped"] == result_json(job)["documentsTotal"] == 4
    assert set((await outcomes(app, "job")).values()) == {(Outcome.SKIPPED, "TrainingSucceeded")}


async def test_an_engine_that_always_fails_is_given_up(app: Life):
    count = 30
    await ready(app, ProjectKind.SINGLE_LABEL, {f"{n}.txt": "@fail" for n in range(count)})
    [message] = await app.planned("job")
    with pytest.MonkeyPatch.context() as patch:
        asked = _count_predictions(patch)
        await fail(app, message)

    job = await app.container.autolabel.get(app.name, "job")
    assert (job.status, result_json(job)["outcomes"]["failed"]) == (JobStatus.FAILED, count)
    groups = 2  # of 25, in the last try; one in each before
    assert len(asked) == 5 + groups + MAX_FAILURES


def _count_predictions(patch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []
    predict = ScriptedModel.predict

    async def noted(model: ScriptedModel, texts: Sequence[str]) -> list[list[Prediction]]:
        asked.append(len(texts))
        return await predict(model, texts)

    patch.setattr(ScriptedModel, "predict", noted)
    return asked


class TestBudget:
    """Ten text records a month for the scripted engine (setting ENGINE_BUDGETS)."""

    @pytest.fixture
    async def app(self, memory: MemoryStorage, clock: Clock) -> Life:
        app = living(memory, clock, engine_budgets='{"scripted": 10}')
        await ready(app, ProjectKind.SINGLE_LABEL, {f"{n}.txt": "@Refund:50" for n in range(6)})
        return app

    async def test_a_job_over_the_budget_fails_with_quota_exceeded(self, app: Life):
        assert result_json(await app.autolabel("one"))["textRecords"] == 6
        named = tuple(document_id(f"{n}.txt") for n in range(5))

        job = await app.autolabel("two", documents=named)

        assert (job.status, job.errors[0].code) == (JobStatus.FAILED, "QuotaExceeded")
        assert "5 text records" in job.errors[0].message
        assert "has 4 left of its budget of 10" in job.errors[0].message
        fits = await app.autolabel("three", documents=named[:4])
        assert fits.status is JobStatus.SUCCEEDED
        assert (await app.autolabel("four", documents=named[:1])).errors[0].code == "QuotaExceeded"

    async def test_the_estimate_says_that_a_job_would_exceed_the_budget(self, app: Life):
        await app.autolabel("one")
        named = tuple(document_id(f"{n}.txt") for n in range(5))
        estimate = app.container.autolabel.estimate
        assert (await estimate(app.name, AutolabelRequest(documents=named[:4]))).unavailable is None
        reason = (await estimate(app.name, AutolabelRequest(documents=named))).unavailable
        assert reason == (await app.autolabel("two", documents=named)).errors[0].message

    async def test_what_a_running_job_reserved_is_not_there_for_another(self, app: Life):
        waiting = await app.planned("one")
        named = tuple(document_id(f"{n}.txt") for n in range(5))
        assert (await app.autolabel("two", documents=named)).errors[0].code == "QuotaExceeded"
        for message in waiting:
            await app.deliver(*message)
        assert result_json(await app.container.autolabel.get(app.name, "one"))["textRecords"] == 6

    async def test_a_cancelled_job_gives_back_what_it_did_not_take(self, app: Life):
        await app.planned("one")
        await app.container.autolabel.cancel(app.name, "one")
        assert (await app.autolabel("two")).status is JobStatus.SUCCEEDED

    async def test_the_month_is_that_of_utc(self, app: Life, clock: Clock):
        clock.now = datetime(2030, 1, 31, 23, 59, tzinfo=UTC)
        named = tuple(document_id(f"{n}.txt") for n in range(6))
        assert (await app.autolabel("one", documents=named)).status is JobStatus.SUCCEEDED
        assert (await app.autolabel("two", documents=named)).errors[0].code == "QuotaExceeded"
        clock.now = datetime(2030, 2, 1, 0, 1, tzinfo=UTC)
        assert (await app.autolabel("three", documents=named)).status is JobStatus.SUCCEEDED

    async def test_uploads_over_the_budget_are_registered_and_wait(self, app: Life):
        await app.container.stores.directory.update(app.name, _on_upload)
        await app.upload({f"new-{n}.txt": "@Refund:60" for n in range(11)})
        await app.drain()
        found = await app.container.categories.statistics(app.name)
        suggested = found.statuses[DocumentStatus.AUTO_LABELED]
        assert (found.documents, suggested, found.waiting) == (19, 0, 17)


def _on_upload(project: Project) -> Project:
    settings = project.settings
    return replace(project, settings=replace(settings, autolabel=replace(settings.autolabel, on_upload=True)))
