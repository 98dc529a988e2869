"""Training (rules T1 to T7) at moments that a caller of the host could not hit: between batches, and after a death."""

from collections.abc import Sequence
from typing import Any, override

import pytest

from shared.domain.document import document_id
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import JobKind, JobStatus
from shared.domain.kinds import Dataset, ProjectKind
from shared.domain.prediction import Example
from shared.domain.splitting import SplitKind, SplitOptions
from shared.services import etags
from shared.services.bulk import BulkRequest
from shared.services.documents import DocumentPatch
from shared.services.messages import TRAINING_QUEUE, JobMessage, parse
from shared.services.training import TrainRequest
from shared.storage.gateways.faults import Crash, Faults, crash_points
from shared.storage.gateways.memory import MemoryStorage
from tests.support.engines import ScriptedEngine
from tests.support.lives import Life, living
from tests.support.services import Clock

each_kind = pytest.mark.parametrize("kind", list(ProjectKind))
MANY = {f"{number:04}.txt": f"@Refund:{number % 100} {number}" for number in range(700)}


async def begin(app: Life, label: str = "m1") -> None:
    await app.container.training.start(app.name, TrainRequest(label), f"train-{label}")


@each_kind
async def test_suggestions_are_gone_the_moment_train_returns(app: Life, kind: ProjectKind):
    await app.create(kind, on_upload=False)
    await app.suggested({"a.txt": "@Refund:73", "b.txt": "@Refund:80"}, "Refund", "Login")
    assert await app.pending("a.txt") == ["Refund"]

    await begin(app)

    assert await app.pending("a.txt") == await app.pending("b.txt") == []
    statistics = await app.container.categories.statistics(app.name)
    assert statistics["documents"]["autoLabeled"] == 0
    job = await app.job(JobKind.TRAIN, "train-m1")
    assert (job.status, job.result["suggestionsDropped"]) == (JobStatus.NOT_STARTED, 2)
    await app.drain()
    assert (await app.job(JobKind.TRAIN, "train-m1")).result["suggestionsDropped"] == 2


@each_kind
async def test_of_a_running_job_nothing_appears_after_train_returned(app: Life, kind: ProjectKind):
    await app.create(kind, on_upload=False)
    await app.upload(MANY, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.define("Refund", "Login")
    first, *rest = await app.planned("running")
    assert rest, "the job has several batches"
    await app.deliver(*first)
    statistics = await app.container.categories.statistics(app.name)
    assert 0 < statistics["documents"]["autoLabeled"] < len(MANY)

    await begin(app)

    job = await app.job(JobKind.AUTOLABEL, "running")
    assert job.status is JobStatus.CANCELLED
    assert [error.code for error in job.errors] == ["TrainingStarted"]
    for message in (*rest, first):
        await app.deliver(*message)
    await app.drain()
    statistics = await app.container.categories.statistics(app.name)
    assert statistics["documents"]["autoLabeled"] == 0
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
        JobStatus.RUNNING, project.generation, {**dry.parameters, "dryRun": False}, dry.batches,
    )  # fmt: skip
    created, _ = await app.container.stores.jobs.create(running)
    await app.container.jobs.enqueue(created, range(len(created.batches)))
    messages = [one for one in app.sent.waiting if one[0] == "review-bulk"]
    await app.deliver(*messages[0])
    labeled = (await app.container.categories.statistics(app.name))["documents"]["labeled"]

    await begin(app)
    await app.drain()

    assert (await app.job(JobKind.REVIEW, "bulk")).status is JobStatus.CANCELLED
    after = await app.container.categories.statistics(app.name)
    assert after["documents"]["labeled"] == labeled > 2


async def test_one_training_at_a_time(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await begin(app, "one")

    with pytest.raises(Conflict, match="runs already"):
        await begin(app, "two")

    assert [job.id for job in await app.container.training.list(app.name)] == ["train-one"]
    await app.drain()
    assert (await app.train("two")).status is JobStatus.SUCCEEDED


async def test_the_same_request_again_is_the_same_training(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await begin(app)
    await begin(app)
    await app.drain()
    await begin(app)
    assert [job.status for job in await app.container.training.list(app.name)] == [JobStatus.SUCCEEDED]
    assert (await app.container.projects.get(app.name)).generation == 1


async def test_a_cancelled_training_leaves_no_model_and_lets_the_next_begin(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await begin(app)

    job = await app.container.training.cancel(app.name, "train-m1")

    assert job.status is JobStatus.CANCELLED
    await app.drain()
    assert await app.container.trained.list(app.name) == []
    assert (await app.train("m2")).status is JobStatus.SUCCEEDED
    with pytest.raises(Conflict, match="has ended"):
        await app.container.training.cancel(app.name, "train-m2")


class Broken(ScriptedEngine):
    """Fitting fails as a defect does."""

    @override
    async def fit(self, kind: ProjectKind, examples: Sequence[Example], **more: Any) -> bytes:
        raise ValueError("a defect")


async def test_a_training_that_fails_too_often_says_so_and_lets_the_next_begin(
    memory: MemoryStorage, clock: Clock
):
    broken = living(memory, clock, engine=Broken)
    await broken.create(on_upload=False)
    await broken.define("Refund", "Login")
    await begin(broken)
    [message] = [one for one in broken.sent.waiting if one[0] == TRAINING_QUEUE]
    for _ in range(5):
        with pytest.raises(
            ValueError, match="a defect"
        ):  # each delivery tries, and tells the host that it failed
            await broken.deliver(*message)
    await broken.container.runner.give_up(parse(JobMessage, message[1]), "It failed five times.")

    job = await broken.job(JobKind.TRAIN, "train-m1")
    assert job.status is JobStatus.FAILED
    assert "It failed five times." in job.errors[0].message
    mended = living(memory, clock)
    assert (await mended.train("m2")).status is JobStatus.SUCCEEDED


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
        runs.append(await app.container.trained.results(app.name, label))
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
    await app.container.documents.patch(app.name, document_id("t.txt"), etags.ANY, patch, "tester")
    await app.train("m1", SplitOptions(SplitKind.MANUAL))
    results = await app.container.trained.results(app.name, "m1")
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
    assert (await app.container.trained.list(app.name))[0].label == "m3"
    await app.container.trained.delete(app.name, "m4")
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
    await before.create(on_upload=False, pages=8)
    await before.suggested({"a.txt": "@Refund:73"}, "Refund", "Login")
    dying = living(storage, clock, faults=faults)
    begun = True
    try:
        await begin(dying)
        await dying.drain()
    except Crash:
        begun = await _exists(before)
    mended = living(storage, clock)
    for _ in range(3):
        clock.move(60)
        await mended.container.maintenance.sweep()
        await mended.drain()
    if begun:
        job = await mended.job(JobKind.TRAIN, "train-m1")
        assert job.status is JobStatus.SUCCEEDED, (faults.calls[-1], job)
        assert [one.label for one in await mended.container.trained.list(mended.name)] == ["m1"]
        assert await mended.pending("a.txt") == []
    project = await mended.container.projects.get(mended.name)
    assert (project.training, project.lock) == (None, None), faults.calls[-1]
    await mended.label("a.txt", "Refund")  # nothing is locked
    assert (await mended.train("next")).status is JobStatus.SUCCEEDED
    return len(faults.calls)


async def _exists(app: Life) -> bool:
    return any(job.id == "train-m1" for job in await app.container.training.list(app.name))
