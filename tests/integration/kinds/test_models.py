"""Trained models beside imports, deletions, and trainings and evaluations that run at the same time (rules T6, T7)."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, override

import pytest

from shared.domain.errors import Conflict, InvalidArgument, JobNotFound, NotFound
from shared.domain.jobs import Job, JobError, JobKind, JobStatus
from shared.domain.labels import Example
from shared.domain.names import ProjectKind
from shared.domain.training import SplitOptions
from shared.services.projects.categories import CategoryChange
from shared.services.training.service import TrainRequest
from shared.storage.gateways.ports import Replace
from shared.storage.rows import model_key
from tests.integration.kinds.files import project_file
from tests.support.engines import ScriptedEngine
from tests.support.lives import Life, living
from tests.support.services import Clock, result_json
from tests.support.storage.memory import MemoryStorage


async def with_model(app: Life, kind: ProjectKind = ProjectKind.SINGLE_LABEL) -> None:
    await app.create(kind, on_upload=False)
    await app.suggested({"a.txt": "@Refund:73 please"}, "Refund", "Login")
    await app.train("m1")


async def import_as(app: Life, kind: ProjectKind) -> None:
    """Replace the project by a file of this kind, whose documents have no blobs but `a.txt`."""
    file = project_file(kind.value, app.documents)
    file["assets"]["documents"].append({"location": "a.txt", "language": "de", "dataset": "Train"})
    await app.container.imports.start(app.name, json.dumps(file).encode(), "tester", f"import-{kind}")
    await app.drain()
    app.kind = kind


async def blobs(app: Life) -> set[str]:
    """Names of everything that models consist of."""
    project = await app.container.projects.get(app.name)
    pages = app.blobs.list("labelbridge", prefix=f"{project.incarnation}/models/")
    return {blob.name async for page in pages for blob in page}


async def test_a_model_of_another_kind_is_never_used(app: Life):
    await with_model(app)
    await import_as(app, ProjectKind.ENTITIES)
    [model] = await app.container.trained_models.list(app.name)
    assert model.kind is ProjectKind.SINGLE_LABEL

    project = await app.container.projects.get(app.name)
    assert await app.container.model_cache.trained(project, None) is None
    with pytest.raises(NotFound, match="was trained for a project of kind CustomSingleLabel"):
        await app.container.model_cache.trained(project, "m1")
    with pytest.raises(Conflict, match="Train the model again") as caught:
        await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(), "e1")
    assert caught.value.target == "trainedModelLabel"


async def test_an_autolabel_job_after_an_import_of_another_kind_uses_no_old_model(app: Life):
    await with_model(app)
    await import_as(app, ProjectKind.ENTITIES)
    job = await app.autolabel("newest")
    assert result_json(job).get("modelLabel") is None
    with pytest.raises(Conflict, match="another kind") as caught:
        await app.autolabel("named", model_label="m1")
    assert caught.value.target == "modelLabel"


async def test_a_model_of_another_engine_than_the_one_asked_for_is_refused(app: Life):
    await with_model(app)
    models, project = app.container.stores.models, await app.container.projects.get(app.name)
    other = replace(await models.get(project, "m1"), engine="other")
    job = Job(
        "made", JobKind.EXPORT, app.name, project.incarnation, project.edition, other.trained, other.trained
    )
    job, _ = await app.container.stores.jobs.create(job)
    await models.replace_with(job, other)
    with pytest.raises(InvalidArgument, match="belongs to the engine 'other', not 'scripted'") as caught:
        await app.autolabel("job", model_label="m1", engine="scripted")
    assert caught.value.target == "engine"


async def test_an_import_of_the_same_kind_keeps_the_models(app: Life):
    await with_model(app)
    await import_as(app, ProjectKind.SINGLE_LABEL)
    project = await app.container.projects.get(app.name)
    model = await app.container.model_cache.trained(project, None)
    assert model is not None
    assert model.label == "m1"


async def test_a_row_that_was_written_before_kinds_were_is_used(app: Life):
    await with_model(app)
    project = await app.container.projects.get(app.name)
    table = app.container.stores.table
    row = await table.get(project.incarnation, model_key("m1"))
    assert row is not None
    values = {key: value for key, value in row.values.items() if key != "kind"}
    await table.commit(project.incarnation, [Replace(row.key, values, row.etag)])
    model = await app.container.model_cache.trained(project, "m1")
    assert model is not None
    assert model.kind is None


async def test_a_model_trained_again_leaves_nothing_of_the_old_one(app: Life):
    await with_model(app)
    assert len(await blobs(app)) == 3
    await app.train("m1", job_id="again")
    project = await app.container.projects.get(app.name)
    base = f"{project.incarnation}/models/again"
    assert await blobs(app) == {f"{base}/artefact", f"{base}/summary.json", f"{base}/results.json"}
    assert await app.container.trained_models.summary(app.name, "m1")


async def test_a_job_that_runs_ends_with_the_model_that_was_replaced(app: Life):
    await with_model(app)
    await app.container.training.start(app.name, TrainRequest("m1"), "again")
    [training] = app.sent.waiting
    app.sent.waiting.clear()
    batches = await app.planned("running", model_label="m1")
    await app.deliver(*training)
    for batch in batches:
        await app.deliver(*batch)
    assert (await app.job(JobKind.AUTOLABEL, "running")).status is JobStatus.CANCELLED
    assert await app.pending("a.txt") == []


async def test_an_evaluation_takes_the_place_of_the_one_before(app: Life):
    await with_model(app)
    before = await blobs(app)
    await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(testing=50), "e1")
    await app.drain()
    job = await app.job(JobKind.EVALUATE, "e1")
    assert (job.status, result_json(job)["percentComplete"]) == (JobStatus.SUCCEEDED, 100)
    after = await blobs(app)
    assert len(after) == len(before) == 3
    summary = json.loads(await app.container.trained_models.summary(app.name, "m1"))
    assert summary["evaluationOptions"]["testingSplitPercentage"] == 50
    await app.container.trained_models.delete(app.name, "m1")
    assert await blobs(app) == set()


async def test_an_evaluation_is_found_under_its_own_model_only(app: Life):
    await with_model(app)
    await app.train("m2")
    await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(), "e1")
    assert (await app.container.trained_models.get_evaluation(app.name, "m1", "e1")).id == "e1"
    with pytest.raises(JobNotFound):
        await app.container.trained_models.get_evaluation(app.name, "m2", "e1")


class Interrupted(ScriptedEngine):
    """While a model is loaded to be evaluated, something else happens, once."""

    meanwhile: ClassVar[list[Callable[[], Awaitable[Any]]]] = []

    @override
    async def load(self, artifact: bytes) -> Any:
        while self.meanwhile:
            await self.meanwhile.pop()()
        return await super().load(artifact)


@pytest.fixture
def interrupted(memory: MemoryStorage, clock: Clock) -> Life:
    Interrupted.meanwhile.clear()
    return living(memory, clock, engine=Interrupted)


async def evaluated_while(app: Life, happens: Callable[[], Awaitable[Any]]) -> tuple[JobStatus, list[str]]:
    """How an evaluation ends during which this happens."""
    await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(), "e1")
    Interrupted.meanwhile.append(happens)
    await app.drain()
    job = await app.job(JobKind.EVALUATE, "e1")
    return job.status, [error.message for error in job.errors]


async def test_a_model_deleted_while_it_is_evaluated_does_not_come_back(interrupted: Life):
    app = interrupted
    await with_model(app)
    ended = await evaluated_while(app, lambda: app.container.trained_models.delete(app.name, "m1"))
    assert ended == (JobStatus.FAILED, ["The model 'm1' was deleted while it was evaluated."])
    assert await app.container.trained_models.list(app.name) == []
    assert await blobs(app) == set()


async def test_a_model_trained_again_while_it_is_evaluated_keeps_its_own_evaluation(interrupted: Life):
    app = interrupted
    await with_model(app)

    async def again() -> None:
        await app.container.training.start(app.name, TrainRequest("m1", SplitOptions(testing=50)), "again")
        await app.deliver(*app.sent.waiting.pop())

    ended = await evaluated_while(app, again)
    assert ended == (JobStatus.FAILED, ["The model 'm1' was trained again while it was evaluated."])
    [model] = await app.container.trained_models.list(app.name)
    assert (model.model_id, model.split.testing) == ("again", 50)
    assert await blobs(app) == set(model.blobs)


async def test_of_two_evaluations_at_once_both_succeed_and_the_last_stays(interrupted: Life):
    app = interrupted
    await with_model(app)

    async def other() -> None:
        await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(testing=50), "e2")
        await app.deliver(*app.sent.waiting.pop())

    assert await evaluated_while(app, other) == (JobStatus.SUCCEEDED, [])
    assert (await app.job(JobKind.EVALUATE, "e2")).status is JobStatus.SUCCEEDED
    [model] = await app.container.trained_models.list(app.name)
    assert (model.split.testing, await blobs(app)) == (20, set(model.blobs))


class Refusing(ScriptedEngine):
    """Cannot be fitted, and says why."""

    @override
    async def fit(self, kind: ProjectKind, examples: Sequence[Example], **more: Any) -> bytes:
        raise NotFound("The words are not known.")


def parts(job: Job) -> list[tuple[str, int, bool, bool]]:
    """Status, percentage, whether it began and ended: of the training, and of the evaluation."""
    result = result_json(job)
    found = (result["trainingStatus"], result["evaluationStatus"])
    return [
        (part["status"], part["percentComplete"], "startDateTime" in part, "endDateTime" in part)
        for part in found
    ]


async def test_the_parts_of_a_training_that_succeeded(app: Life):
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.container.training.start(app.name, TrainRequest("m1"), "train")
    begun = await app.job(JobKind.TRAIN, "train")
    assert parts(begun) == [("notStarted", 0, False, False)] * 2
    await app.drain()
    job = await app.job(JobKind.TRAIN, "train")
    result = result_json(job)
    assert parts(job) == [("succeeded", 100, True, True)] * 2
    training, evaluation = result["trainingStatus"], result["evaluationStatus"]
    assert training["startDateTime"] < training["endDateTime"] == evaluation["startDateTime"]
    assert evaluation["startDateTime"] < evaluation["endDateTime"]


async def test_the_parts_of_a_training_that_failed_or_was_cancelled_have_ended_too(
    memory: MemoryStorage, clock: Clock
):
    app = living(memory, clock, engine=Refusing)
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    failed = await app.train("m1")
    assert failed.errors[0].message == "The words are not known."
    assert parts(failed) == [("failed", 10, True, True), ("failed", 0, False, True)]
    assert "suggestionsDropped" not in result_json(failed)

    await app.container.training.start(app.name, TrainRequest("m1"), "cancelled")
    cancelled = await app.container.training.cancel(app.name, "cancelled")
    assert parts(cancelled) == [("cancelled", 0, False, True)] * 2


async def test_a_training_that_died_in_its_evaluation_was_trained(interrupted: Life):
    app = interrupted
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.container.training.start(app.name, TrainRequest("m1"), "train")

    async def fails() -> None:
        job = await app.job(JobKind.TRAIN, "train")
        await app.container.training.fail(job, JobError("JobFailed", "It failed five times."))

    Interrupted.meanwhile.append(fails)
    await app.drain()
    job = await app.job(JobKind.TRAIN, "train")
    assert (job.status, parts(job)) == (
        JobStatus.FAILED,
        [("succeeded", 100, True, True), ("failed", 10, True, True)],
    )
    assert await app.container.trained_models.list(app.name) == []


async def test_an_evaluation_after_a_renaming_compares_under_the_current_names(app: Life):
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"@Refund:90 {n}" for n in range(4)}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.define("Login")
    for number in range(4):
        await app.label(f"{number}.txt", "Refund")
    await app.train("m1")
    await app.container.categories.put(app.name, [CategoryChange("Money", renames="Refund")], "tester")
    await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(testing=50), "e1")
    await app.drain()
    results = json.loads(await app.container.trained_models.results(app.name, "m1"))
    found = [result["customSingleLabelClassificationResult"] for result in results]
    assert {"expectedClass": "Money", "predictedClass": "Money"} in found
    assert "Refund" not in {row["predictedClass"] for row in found}
