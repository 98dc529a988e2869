"""Training (rules T1, T4, T5, T7 to T9), also at moments that no caller hits: between batches, and after a death."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, override

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import BulkParameters, JobKind, JobStatus
from shared.domain.labels import Example
from shared.domain.names import FIT_QUEUE, Dataset, DocumentStatus, ProjectKind
from shared.domain.training import SplitKind, SplitOptions
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.services.review.bulk import BulkRequest
from shared.services.review.documents import DocumentPatch
from shared.services.review.service import Saved
from shared.services.training.service import TrainRequest
from tests.support.engines import ScriptedEngine
from tests.support.lives import Life, living
from tests.support.services import Clock, result_json
from tests.support.storage.faults import Crash, Faults, crash_points
from tests.support.storage.memory import MemoryStorage

each_kind = pytest.mark.parametrize("kind", list(ProjectKind))
MANY = {f"{number:04}.txt": f"@Refund:{number % 100} {number}" for number in range(700)}


async def begin(app: Life, label: str = "m1") -> None:
    await app.container.training.start(app.name, TrainRequest(label), f"train-{label}")


@each_kind
async def test_suggestions_end_when_the_training_succeeds(app: Life, kind: ProjectKind):
    await app.create(kind, on_upload=False)
    await app.suggested(
        {"a.txt": "@Refund:73", "b.txt": "@Refund:80", "c.txt": "@Login:60"}, "Refund", "Login"
    )

    await begin(app)

    assert await app.pending("a.txt") == await app.pending("b.txt") == ["Refund"]
    assert await app.decide("b.txt", accept_all=True) is Saved.SAVED
    job = await app.job(JobKind.TRAIN, "train-m1")
    assert (job.status, result_json(job).get("suggestionsDropped")) == (JobStatus.NOT_STARTED, None)
    project = await app.container.projects.get(app.name)
    assert (project.generation, project.last_trained) == (0, None)

    await app.drain()

    assert await app.pending("a.txt") == await app.pending("c.txt") == []
    assert (await app.get("b.txt")).labels is not None
    statistics = await app.container.categories.statistics(app.name)
    assert statistics.statuses[DocumentStatus.AUTO_LABELED] == 0
    assert result_json(await app.job(JobKind.TRAIN, "train-m1"))["suggestionsDropped"] == 2
    with pytest.raises(Conflict, match="made before the last training"):
        await app.container.documents.undo(app.name, document_id("b.txt"), ANY_VERSION, "tester")
    project = await app.container.projects.get(app.name)
    [model] = await app.container.trained_models.list(app.name)
    assert (project.generation, project.last_trained, project.training) == (1, model.trained, None)


class Remembering(ScriptedEngine):
    """Keeps what it was fitted on."""

    fitted: ClassVar[list[list[tuple[str, tuple[str, ...]]]]] = []

    @override
    async def fit(self, kind: ProjectKind, examples: Sequence[Example], **more: Any) -> bytes:
        self.fitted.append(sorted((example.text, example.categories) for example in examples))
        return await super().fit(kind, examples, **more)


async def test_a_model_has_the_labels_of_when_its_training_was_asked_for(memory: MemoryStorage, clock: Clock):
    app = living(memory, clock, engine=Remembering)
    await app.create(on_upload=False)
    await app.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    names = [f"{number}.txt" for number in range(8)]
    await app.upload({name: f"Text {name}" for name in names}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    for name in names:
        await app.label(name, "Login")
    Remembering.fitted.clear()

    await begin(app)
    for name in names:
        await app.label(name, "Refund")
    assert await app.decide("a.txt", accept_all=True) is Saved.SAVED
    await app.drain()

    [learned] = Remembering.fitted
    assert {categories for text, categories in learned if text.startswith("Text")} == {("Login",)}
    assert "@Refund:73" not in [text for text, _ in learned]
    assert b"a.txt" not in await app.container.trained_models.results(app.name, "m1")
    assert {(await app.get(name)).labels for name in names} == {app.labels("Refund")}


@each_kind
async def test_of_a_running_job_nothing_appears_after_the_training(app: Life, kind: ProjectKind):
    await app.create(kind, on_upload=False)
    await app.upload(MANY, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.define("Refund", "Login")
    first, *rest = await app.planned("running")
    assert len(rest) > 1, "the job has several batches"
    await app.deliver(*first)
    statistics = await app.container.categories.statistics(app.name)
    assert 0 < statistics.statuses[DocumentStatus.AUTO_LABELED] < len(MANY)

    app.sent.waiting.clear()
    await begin(app)
    second, *rest = rest
    await app.deliver(*second)
    assert (await app.job(JobKind.AUTOLABEL, "running")).status is JobStatus.RUNNING
    [training] = app.sent.waiting
    await app.deliver(*training)

    job = await app.job(JobKind.AUTOLABEL, "running")
    assert job.status is JobStatus.CANCELLED
    assert [error.code for error in job.errors] == ["TrainingSucceeded"]
    for message in (*rest, first):
        await app.deliver(*message)
    await app.drain()
    statistics = await app.container.categories.statistics(app.name)
    assert statistics.statuses[DocumentStatus.AUTO_LABELED] == 0
    assert await app.job(JobKind.AUTOLABEL, "running") == job
    assert (await app.job(JobKind.TRAIN, "train-m1")).status is JobStatus.SUCCEEDED


async def test_a_running_bulk_decision_ends_with_the_training_too(app: Life):
    await app.create(on_upload=False)
    await app.suggested(MANY, "Refund", "Login")
    await app.container.bulk.start(app.name, BulkRequest(accept=True, dry_run=True), "r", "dry")
    project = await app.container.projects.get(app.name)
    dry = await app.job(JobKind.REVIEW, "dry")
    running = dry.__class__(
        "bulk", JobKind.REVIEW, app.name, project.incarnation, project.edition, dry.created, dry.updated,
        JobStatus.RUNNING, project.generation, replace(dry.parameters_as(BulkParameters), dry_run=False), dry.batches,
    )  # fmt: skip
    created, _ = await app.container.stores.jobs.create(running)
    await app.container.jobs.enqueue(created, range(len(created.batches)))
    messages = [
        sent
        for sent in app.sent.waiting
        if isinstance(message := parse(sent[1]), BatchMessage) and message.job == "bulk"
    ]
    await app.deliver(*messages[0])
    labeled = (await app.container.categories.statistics(app.name)).statuses[DocumentStatus.LABELED]

    app.sent.waiting.clear()
    await begin(app)
    await app.drain()
    for message in messages:
        await app.deliver(*message)

    assert (await app.job(JobKind.REVIEW, "bulk")).status is JobStatus.CANCELLED
    after = await app.container.categories.statistics(app.name)
    assert after.statuses[DocumentStatus.LABELED] == labeled > 2


async def test_one_training_at_a_time(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await begin(app, "one")

    with pytest.raises(Conflict, match="is already being trained"):
        await begin(app, "two")

    assert [job.id for job in await app.container.training.list(app.name)] == ["train-one"]
    await app.drain()
    assert (await app.train("two")).status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("named", ["train-one", "train-of-a-lost-answer"])
async def test_a_training_that_has_ended_holds_up_no_other(app: Life, named: str):
    """Its worker ends the job before it clears the project; a job whose claim got no answer was removed."""
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.train("one")
    directory = app.container.stores.directory
    await directory.update(app.name, lambda project: replace(project, training=named))

    assert (await app.train("two")).status is JobStatus.SUCCEEDED

    assert (await app.container.projects.get(app.name)).training is None


async def test_the_same_request_again_is_the_same_training(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await begin(app)
    await begin(app)
    await app.drain()
    await begin(app)
    assert [job.status for job in await app.container.training.list(app.name)] == [JobStatus.SUCCEEDED]
    assert (await app.container.projects.get(app.name)).generation == 1


async def test_a_cancelled_training_keeps_suggestions_and_lets_the_next_begin(app: Life):
    await app.create(on_upload=False)
    await app.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    await begin(app)

    for _ in range(2):  # cancelling twice is cancelling once
        job = await app.container.training.cancel(app.name, "train-m1")

    assert job.status is JobStatus.CANCELLED
    await app.drain()
    assert await app.container.trained_models.list(app.name) == []
    assert await app.pending("a.txt") == ["Refund"]
    assert (await app.train("m2")).status is JobStatus.SUCCEEDED
    with pytest.raises(Conflict, match="has ended"):
        await app.container.training.cancel(app.name, "train-m2")


class Broken(ScriptedEngine):
    """Fitting fails as a defect does."""

    @override
    async def fit(self, kind: ProjectKind, examples: Sequence[Example], **more: Any) -> bytes:
        raise ValueError("a defect")


async def test_a_training_that_fails_by_a_defect_says_so_and_lets_the_next_begin(
    memory: MemoryStorage, clock: Clock
):
    broken = living(memory, clock, engine=Broken)
    await broken.create(on_upload=False)
    await living(memory, clock).suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    broken.sent.waiting.clear()
    await begin(broken)
    assert [queue for queue, _ in broken.sent.waiting] == [FIT_QUEUE]
    await broken.drain()

    job = await broken.job(JobKind.TRAIN, "train-m1")
    assert (job.status, job.errors[0].code) == (JobStatus.FAILED, "JobFailed")
    assert "ValueError" in job.errors[0].message
    assert await broken.pending("a.txt") == ["Refund"]
    repaired = living(memory, clock)
    assert (await repaired.train("m2")).status is JobStatus.SUCCEEDED


async def test_a_split_of_percentages_uses_the_train_set_only_and_is_seeded(app: Life):
    await app.create(on_upload=False)
    names = [f"{number:02}.txt" for number in range(20)]
    await app.upload({name: f"text {name}" for name in names}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    for index, name in enumerate(names):
        await app.label(name, "AB"[index % 2])
    runs: list[bytes] = []
    for label in ("m1", "m2"):
        await app.train(label, SplitOptions(SplitKind.PERCENTAGE, 25))
        runs.append(await app.container.trained_models.results(app.name, label))
    assert runs[0] == runs[1]
    assert runs[0].count(b'"location"') == 5


async def test_a_manual_split_tests_the_test_set(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.upload({"t.txt": "@Refund:99 tested"}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    await app.label("t.txt", "Refund")
    patch = DocumentPatch(dataset=Dataset.TEST)
    await app.container.documents.patch(app.name, document_id("t.txt"), ANY_VERSION, patch, "tester")
    await app.train("m1", SplitOptions(SplitKind.MANUAL))
    results = await app.container.trained_models.results(app.name, "m1")
    assert results.count(b'"location"') == 1
    assert b"t.txt" in results


async def test_a_project_has_at_most_ten_models_and_one_can_be_trained_again(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    for number in range(10):
        assert (await app.train(f"m{number}")).status is JobStatus.SUCCEEDED
    with pytest.raises(InvalidArgument, match="at most 10 models"):
        await begin(app, "m10")
    assert (await app.container.projects.get(app.name)).generation == 10  # the refused one ended nothing

    assert (await app.train("m3", job_id="again")).status is JobStatus.SUCCEEDED
    assert (await app.container.trained_models.list(app.name))[0].label == "m3"
    await app.container.trained_models.delete(app.name, "m4")
    assert (await app.train("m10")).status is JobStatus.SUCCEEDED


async def test_what_is_refused_ends_no_suggestion(app: Life):
    await app.create(on_upload=False)
    await app.suggested({"a.txt": "@Refund:73"}, "Refund")
    with pytest.raises(InvalidArgument):  # one labeled document cannot be split
        await begin(app)
    assert await app.pending("a.txt") == ["Refund"]
    assert await app.container.training.list(app.name) == []


async def test_a_training_survives_a_death_at_every_storage_call():
    """Whatever died in `:train` or in the worker: the sweep brings it to a model, and the next training can begin."""
    calls = await _train_dying(Faults())
    for plan in crash_points(calls):
        await _train_dying(Faults(plan))


async def _train_dying(faults: Faults) -> int:
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    before = living(storage, clock)
    await before.create(on_upload=False, pages=4)
    await before.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    dying = living(storage, clock, faults=faults)
    begun = True
    try:
        await begin(dying)
        await dying.drain()
    except Crash:
        begun = await _exists(before)
    await _is_whole(before)
    repaired = living(storage, clock)
    for _ in range(3):
        clock.move(60)
        await repaired.container.maintenance.sweep()
        await repaired.drain()
    if begun:
        job = await repaired.job(JobKind.TRAIN, "train-m1")
        assert job.status is JobStatus.SUCCEEDED, (faults.calls[-1], job)
        models = await repaired.container.trained_models.list(repaired.name)
        assert [model.label for model in models] == ["m1"]
        assert await repaired.pending("a.txt") == []
    project = await repaired.container.projects.get(repaired.name)
    assert (project.training, project.lock) == (None, None), faults.calls[-1]
    await repaired.label("a.txt", "Refund")  # nothing is locked
    assert (await repaired.train("next")).status is JobStatus.SUCCEEDED
    return len(faults.calls)


async def _is_whole(app: Life) -> None:
    """The model is visible exactly when the suggestions have ended."""
    models = [model.label for model in await app.container.trained_models.list(app.name)]
    assert (models, await app.pending("a.txt")) in [([], ["Refund"]), (["m1"], [])]
    if models:
        assert (await app.container.trained_models.get(app.name, "m1")).label == "m1"


async def test_a_cancellation_after_a_death_at_every_storage_call_cancels_or_comes_too_late():
    """Nothing in between: the training is cancelled and the suggestions stay, or it has succeeded and they are gone."""
    faults = Faults()
    ends = {await _cancel_after_death(faults)}
    for plan in crash_points(len(faults.calls)):
        ends.add(await _cancel_after_death(Faults(plan)))
    assert ends == {JobStatus.CANCELLED, JobStatus.SUCCEEDED}


async def _cancel_after_death(faults: Faults) -> JobStatus:
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    app = living(storage, clock)
    await app.create(on_upload=False, pages=4)
    await app.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    await begin(app)
    dying = living(storage, clock, faults=faults)
    with suppress(Crash):
        await dying.deliver(*app.sent.waiting.popleft())
    clock.move(60)
    with suppress(Conflict):  # too late
        await app.container.training.cancel(app.name, "train-m1")
    status = (await app.job(JobKind.TRAIN, "train-m1")).status
    await _is_whole(app)
    assert bool(await app.pending("a.txt")) == (status is JobStatus.CANCELLED), faults.calls[-1]
    await app.container.maintenance.sweep()
    await app.drain()
    assert (await app.job(JobKind.TRAIN, "train-m1")).status is status
    assert (await app.train("next")).status is JobStatus.SUCCEEDED
    return status


async def _exists(app: Life) -> bool:
    return any(job.id == "train-m1" for job in await app.container.training.list(app.name))
