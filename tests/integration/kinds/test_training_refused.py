"""A training or evaluation that cannot succeed is refused before it costs a suggestion (rules T5, T9)."""

import asyncio

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import JobKind, JobStatus
from shared.domain.names import Dataset
from shared.domain.training import SplitKind, SplitOptions
from shared.engines.embedded.engine import EmbeddedEngine
from shared.services.review.documents import DocumentPatch
from shared.services.training.service import TrainRequest
from tests.support.engines import NAME
from tests.support.lives import Life, living
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage

MANUAL = SplitOptions(SplitKind.MANUAL)
NAMES = [f"{number}.txt" for number in range(6)]


class Product(EmbeddedEngine):
    """The engine of the product under the name that tests configure."""

    name = NAME


@pytest.fixture
def app(memory: MemoryStorage, clock: Clock) -> Life:
    """With the engine of the product, which needs 5 documents and 2 classes."""
    return living(memory, clock, engine=Product)


async def labeled(app: Life, names: list[str] = NAMES) -> None:
    """A suggestion that waits, and documents of two classes."""
    await app.create(on_upload=False)
    await app.upload({name: f"text {name}" for name in [*names, "waits.txt"]}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    for number, name in enumerate(names):
        await app.label(name, ("Refund", "Login")[number % 2])


async def to_test(app: Life, *names: str) -> None:
    for name in names:
        patch = DocumentPatch(dataset=Dataset.TEST)
        await app.container.documents.patch(app.name, document_id(name), ANY_VERSION, patch, "tester")


async def refused(app: Life, split: SplitOptions | None = None) -> InvalidArgument:
    """The error; nothing was begun."""
    with pytest.raises(InvalidArgument) as caught:
        await app.container.training.start(app.name, TrainRequest("m1", split or SplitOptions()), "train")
    assert await app.container.training.list(app.name) == []
    project = await app.container.projects.get(app.name)
    assert (project.generation, project.lock, project.training) == (0, None, None)
    return caught.value


async def test_documents_of_the_test_set_do_not_train(app: Life):
    await labeled(app)
    await to_test(app, *NAMES)
    error = await refused(app)
    assert error.target == "documents"
    assert "at least 6 labeled documents in the Train set (6 missing)" in error.message
    assert "Not counted: 6 in the Test set." in error.message


async def test_a_class_that_only_the_test_set_has_is_not_learned(app: Life):
    await labeled(app, [f"{number:02}.txt" for number in range(12)])
    await to_test(app, *(f"{number:02}.txt" for number in range(1, 12, 2)))
    error = await refused(app, MANUAL)
    assert "2 classes with labeled documents (only 'Refund' has any)" in error.message


async def test_documents_that_are_rejected_or_without_a_blob_do_not_train(app: Life):
    await labeled(app)
    await app.upload({"0.txt": b"\xff\xfe\xff"}, events=False)  # no UTF-8: rejected, its labels are kept
    await app.container.registering.scan(app.name, "again")
    await app.drain()
    assert (await app.get("0.txt")).rejection is not None
    await app.set("5.txt", None)
    error = await refused(app)
    assert "at least 6 labeled documents in the Train set (2 missing)" in error.message
    assert "Not counted: 1 that cannot be used (1 InvalidEncoding)." in error.message
    [detail] = error.details
    assert detail.message == "Labeled documents that were left out: 1 (the file is not UTF-8): 0.txt."


async def test_labels_of_a_file_whose_documents_are_missing_do_not_train(app: Life):
    await labeled(app)
    exported = await app.container.exports.start(app.name, "export")
    await app.drain()
    data, _ = await app.container.exports.result(app.name, exported.id)
    for name in NAMES:
        await app.blobs.delete(app.documents, name)
    await app.container.imports.start(app.name, data, "tester", "import")
    await app.drain()
    generation = (await app.container.projects.get(app.name)).generation
    with pytest.raises(InvalidArgument, match="6 that cannot be used"):
        await app.container.training.start(app.name, TrainRequest("m1"), "train")
    assert (await app.container.projects.get(app.name)).generation == generation


@pytest.mark.parametrize(("testing", "left", "needed"), [(99, 1, 451), (50, 3, 9)])
async def test_what_the_split_leaves_must_suffice(app: Life, testing: int, left: int, needed: int):
    await labeled(app)
    error = await refused(app, SplitOptions(testing=testing))
    assert error.target == "evaluationOptions.testingSplitPercentage"
    assert f"Of 6, only {left} would be left to train on." in error.message
    assert f"at least {needed} labeled documents in the Train set ({needed - 6} missing)" in error.message
    job = await app.train(split=SplitOptions(testing=10))
    assert job.status is JobStatus.SUCCEEDED, job.errors


async def test_a_manual_split_needs_a_labeled_document_of_the_test_set(app: Life):
    await labeled(app)
    await to_test(app, "waits.txt")  # it has no labels
    error = await refused(app, MANUAL)
    assert error.target == "evaluationOptions.kind"
    assert "1 labeled document in the Test set" in error.message


async def test_an_evaluation_needs_documents_to_test_with(memory: MemoryStorage, clock: Clock):
    app = living(memory, clock)
    await labeled(app)
    await app.train("m1")
    for job_id in ("e1", "e2"):
        with pytest.raises(InvalidArgument, match="1 labeled document in the Test set") as caught:
            await app.container.trained_models.evaluate(app.name, "m1", MANUAL, job_id)
        assert caught.value.target == "kind"
    await to_test(app, *NAMES)
    with pytest.raises(InvalidArgument, match="2 labeled documents in the Train set"):
        await app.container.trained_models.evaluate(app.name, "m1", SplitOptions(), "e3")
    await app.container.trained_models.evaluate(
        app.name, "m1", MANUAL, "e4"
    )  # nothing is left to train on: no matter
    await app.drain()
    assert (await app.job(JobKind.EVALUATE, "e4")).status is JobStatus.SUCCEEDED
    assert (await app.container.trained_models.results(app.name, "m1")).count(b'"location"') == 6


async def test_what_cannot_be_read_when_it_comes_to_it_fails_with_the_reason(
    memory: MemoryStorage, clock: Clock
):
    """Their blobs went unseen: no evaluation of nothing is made up."""
    app = living(memory, clock)
    await labeled(app)
    await to_test(app, "0.txt")
    await app.blobs.delete(app.documents, "0.txt")
    job = await app.train(split=MANUAL)
    assert job.status is JobStatus.FAILED
    assert "Not counted: 1 that cannot be used (1 BlobMissing)." in job.errors[0].message
    assert [warning.code for warning in job.warnings] == ["BlobMissing"]


async def test_of_several_that_begin_at_once_one_trains_and_the_others_get_the_rule(app: Life):
    await labeled(app)
    begun = await asyncio.gather(
        *(app.container.training.start(app.name, TrainRequest(f"m{n}"), f"train-{n}") for n in range(4)),
        return_exceptions=True,
    )
    conflicts = [answer for answer in begun if isinstance(answer, Conflict)]
    assert [
        (conflict.inner_code, "one training can run at a time" in conflict.message) for conflict in conflicts
    ] == [(None, True)] * 3
    assert len(await app.container.training.list(app.name)) == 1
