"""A training leaves out what it cannot use, and says so with counts: changed entities, documents without a blob."""

import json

import pytest

from shared.domain import training
from shared.domain.document import ANY_VERSION, Reading, document_id
from shared.domain.errors import InvalidArgument
from shared.domain.jobs import JobKind, JobStatus, TrainResult
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import Dataset, ProjectKind
from shared.domain.training import SplitDocument, SplitKind, SplitOptions, left_out
from shared.engines.embedded.engine import EmbeddedEngine
from shared.services.review.documents import DocumentPatch
from shared.services.training.service import TrainRequest
from shared.services.training.sufficiency import check_testing
from shared.storage.rows import pack, unpack
from shared.wire.api import job_json
from tests.support.engines import NAME
from tests.support.lives import living
from tests.support.services import App, Clock
from tests.support.storage.memory import MemoryBlobs, MemoryStorage


async def test_changed_entities_and_missing_blobs_are_left_out_and_counted(app: App) -> None:
    await app.create(ProjectKind.ENTITIES, on_upload=False)
    names = [f"{n}.txt" for n in range(8)]
    await app.upload({name: f"Please call Paula now, number {name}." for name in names})
    await app.drain()
    labels = Labels(regions=(Region(0, 20, (EntityLabel("Who", 12, 5),)),))
    for name in names:
        await app.container.documents.set_labels(app.name, document_id(name), ANY_VERSION, labels, "tester")
    await app.upload(
        {"0.txt": "Invoice: Please call Paula now.", "1.txt": "Invoice: call Paula today, please."}
    )
    await app.blobs.delete(app.documents, "2.txt")
    await app.container.uploads.seen(app.documents, "2.txt")
    await app.drain()

    request = TrainRequest("m", SplitOptions(SplitKind.PERCENTAGE, 20))
    await app.container.training.start(app.name, request, "train")
    await app.drain()

    job = await app.container.training.get(app.name, "train")
    assert job.status is JobStatus.SUCCEEDED
    assert [(w.code, w.target, w.message) for w in job.warnings] == [
        (
            "BlobMissing",
            "documents",
            "Labeled documents that were left out: 1 (the blob does not exist): 2.txt.",
        ),
        (
            "ContentChanged",
            "documents",
            "Labeled documents that were left out: 2 (the content changed after it was labeled; confirm the "
            "labels): 0.txt, 1.txt.",
        ),
    ]
    assert job_json(job)["result"]["leftOut"][0] == {
        "code": "BlobMissing",
        "reason": "the blob does not exist",
        "count": 1,
        "documents": 1,
        "locations": ["2.txt"],
        "entities": False,
    }
    assert [job.kind for job in await app.jobs(JobKind.TRAIN)] == [JobKind.TRAIN]


class Product(EmbeddedEngine):
    """The engine of the product under the name that tests configure."""

    name = NAME


PEOPLE = "Paula Ricci,Omar Haddad,Mia Lund,Tom Okafor,Ines Moreau,Jonas Weber,Carlos Pinto,Zoe Janssen".split(
    ","
)


@pytest.mark.parametrize(
    ("before", "after", "reported", "least"),
    [
        (0, 0, [], 1.0),
        (1, 1, ["Entities trained without the whitespace at their ends: 6."], 1.0),
        (-1, 0, ["Entities extended to whole words: 6."], 0.0),
    ],
)
async def test_the_engine_of_the_product_says_what_it_adjusted(
    storage: MemoryStorage, clock: Clock, before: int, after: int, reported: list[str], least: float
) -> None:
    """Marked so many characters too early and too late: trained without the spaces, and compared without them."""
    app = living(storage, clock, engine=Product)
    await app.create(ProjectKind.ENTITIES, on_upload=False)
    texts = {f"{n}.txt": f"Please send the parcel to {who} today, thank you." for n, who in enumerate(PEOPLE)}
    await app.upload(texts)
    await app.drain()
    for (name, text), who in zip(texts.items(), PEOPLE, strict=True):
        entity = EntityLabel("Who", text.index(who) - before, len(who) + before + after)
        await app.set(name, Labels(regions=(Region(0, len(text), (entity,)),)))

    job = await app.train("m")

    assert job.status is JobStatus.SUCCEEDED
    assert [w.message for w in job.warnings] == reported
    assert {w.code for w in job.warnings} <= {"LabelsAdjusted"}
    summary = json.loads(await app.container.trained_models.summary(app.name, "m"))
    assert [w["message"] for w in summary.get("warnings", [])] == reported
    assert summary["customEntityRecognitionEvaluation"]["microF1"] >= least
    await app.container.trained_models.evaluate(app.name, "m", SplitOptions(), "again")
    await app.drain()
    assert [w.message for w in (await app.job(JobKind.EVALUATE, "again")).warnings] == reported


async def _unread(app: App) -> None:
    """Of seven labeled documents, three blobs become unusable, each in its way, before any event says so."""
    await app.create(on_upload=False)
    names = [f"{n}.txt" for n in range(7)]
    await app.upload({name: f"text of {name}" for name in names})
    await app.drain()
    for number, name in enumerate(names):
        await app.label(name, ("Bike", "Car")[number % 2])
    await app.blobs.delete(app.documents, "1.txt")
    assert isinstance(app.blobs, MemoryBlobs)
    app.blobs.refusals[app.documents, "2.txt"] = "BlobArchived"
    await app.upload({"3.txt": "another text"}, events=False)


def test_documents_beyond_a_sample_do_not_count_as_unusable() -> None:
    found = left_out({"a.txt": "MoreThanNeeded", "b.txt": "EmptyDocument"})
    with pytest.raises(InvalidArgument) as caught:
        check_testing([], SplitOptions(), found)
    assert "Not counted: 1 that cannot be used (1 EmptyDocument)." in caught.value.message
    assert [detail.inner_code for detail in caught.value.details] == ["EmptyDocument", "MoreThanNeeded"]


REASONS = [
    "Labeled documents that were left out: 1 (the blob is in the archive tier): 2.txt.",
    "Labeled documents that were left out: 1 (the blob does not exist): 1.txt.",
    "Labeled documents that were left out: 1 (the content changed after it was labeled; confirm the labels): 3.txt.",
]


async def test_a_training_that_fails_for_too_few_documents_says_which_and_why(
    storage: MemoryStorage, clock: Clock
) -> None:
    """Seven suffice; of the four that are left, the split leaves three, and two more are needed than those."""
    app = living(storage, clock, engine=Product)
    await _unread(app)

    job = await app.train("m")

    assert (job.status, [w.message for w in job.warnings]) == (JobStatus.FAILED, REASONS)
    assert [error.message for error in job.errors] == [
        "Training with 20 percent for testing needs at least 6 labeled documents in the Train set (2 missing). "
        "Not counted: 3 that cannot be used (1 BlobArchived, 1 BlobMissing, 1 ContentChanged)."
    ]
    codes = [(found["code"], found["locations"]) for found in job_json(job)["result"]["leftOut"]]
    assert codes == [
        ("BlobArchived", ["2.txt"]),
        ("BlobMissing", ["1.txt"]),
        ("ContentChanged", ["3.txt"]),
    ]


async def test_a_refused_training_and_evaluation_tell_which_documents_and_why(
    storage: MemoryStorage, clock: Clock
) -> None:
    app = living(storage, clock)
    await _unread(app)
    await app.train("m")
    await app.container.registering.scan(app.name, "scan")
    for name in ("1.txt", "2.txt", "3.txt"):
        await app.container.uploads.seen(app.documents, name)
    await app.drain()
    for name in ("0.txt", "3.txt", "4.txt", "5.txt", "6.txt"):
        await app.set(name, None)
    with pytest.raises(InvalidArgument, match="2 that cannot be used") as training:
        await app.container.training.start(app.name, TrainRequest("n"), "refused")
    with pytest.raises(InvalidArgument, match="2 that cannot be used") as evaluating:
        await app.container.trained_models.evaluate(app.name, "m", SplitOptions(), "refused")
    for error in (training.value, evaluating.value):
        assert [detail.message for detail in error.details] == REASONS[:2]


async def test_an_evaluation_says_what_it_left_out_also_when_it_fails(
    storage: MemoryStorage, clock: Clock
) -> None:
    app = living(storage, clock)
    await _unread(app)
    await app.train("m")
    await app.container.trained_models.evaluate(app.name, "m", SplitOptions(), "one")
    await app.drain()
    job = await app.job(JobKind.EVALUATE, "one")
    assert (job.status, [w.message for w in job.warnings]) == (JobStatus.SUCCEEDED, REASONS)
    assert len(job_json(job)["result"]["leftOut"]) == 3
    for name in ("0.txt", "4.txt", "5.txt", "6.txt"):
        await app.blobs.delete(app.documents, name)
    await app.container.trained_models.evaluate(app.name, "m", SplitOptions(), "two")
    await app.drain()
    job = await app.job(JobKind.EVALUATE, "two")
    assert (job.status, len(job.warnings)) == (JobStatus.FAILED, 3)
    assert "(2 missing). Not counted: 7 that cannot be used" in job.errors[0].message


def test_a_message_names_ten_documents_and_a_result_a_hundred() -> None:
    [found] = left_out({f"{n:03}.txt": "BlobMissing" for n in range(1_200)})
    assert found.message.endswith("008.txt, 009.txt and 1,190 more.")
    assert (found.count, found.documents, len(found.locations)) == (1_200, 1_200, 100)


async def test_entities_that_do_not_fit_the_text_are_left_out_and_counted(app: App) -> None:
    """Labels that were imported before their texts were read may fit none of it."""
    await app.create(ProjectKind.ENTITIES, on_upload=False)
    file = {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": "CustomEntityRecognition",
            "projectName": app.name,
            "storageInputContainerName": app.documents,
            "language": "en-us",
        },
        "assets": {
            "projectKind": "CustomEntityRecognition",
            "entities": [{"category": "Who"}],
            "documents": [
                {
                    "location": f"{n}.txt",
                    "entities": [
                        {
                            "regionOffset": 0,
                            "regionLength": 90,
                            "labels": [
                                {"category": "Who", "offset": 2, "length": 3},
                                {"category": "Who", "offset": 80, "length": 3},
                                {"category": "Who", "offset": 1, "length": 1},
                            ],
                        }
                    ],
                }
                for n in range(5)
            ],
        },
    }
    await app.upload({f"{n}.txt": "😀Ada was here." for n in range(5)}, events=False)
    await app.container.imports.start(app.name, json.dumps(file).encode(), "tester", "import")
    await app.drain()

    await app.container.training.start(app.name, TrainRequest("m"), "train")
    await app.drain()

    job = await app.container.training.get(app.name, "train")
    assert (job.status, [w.code for w in job.warnings]) == (JobStatus.SUCCEEDED, ["EntitiesOutsideText"])
    assert "Entities that were left out: 10 (" in job.warnings[0].message
    results = json.loads(await app.container.trained_models.results(app.name, "m"))
    expected = [
        result["customEntityRecognitionResult"]["entities"][0]["expectedEntities"] for result in results
    ]
    assert expected == [[{"category": "Who", "offset": 2, "length": 3}]]


async def test_a_large_project_is_trained_and_tested_with_some_of_its_documents(
    storage: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only their texts are read, none of the Test set, and the job says how many were not needed."""
    monkeypatch.setattr(training, "MAX_TRAINED", 8)
    monkeypatch.setattr(training, "MAX_TESTED", 4)
    app = living(storage, clock)
    await app.create(on_upload=False)
    names = [f"{n:02}.txt" for n in range(20)]
    await app.upload({name: f"text of {name}" for name in names})
    await app.drain()
    for name in names:
        await app.label(name, "Bike" if name == "07.txt" else "Car")
    tests = {f"test{n}.txt": f"text of test {n}" for n in range(6)}
    await app.upload(tests)
    await app.drain()
    for name in tests:
        await app.label(name, "Car")
        patch = DocumentPatch(dataset=Dataset.TEST)
        await app.container.documents.patch(app.name, document_id(name), ANY_VERSION, patch, "tester")
    read: list[str] = []
    inspect = app.container.stores.uploads.inspect

    async def noted(container: str, location: str) -> Reading | None:
        read.append(location)
        return await inspect(container, location)

    monkeypatch.setattr(app.container.stores.uploads, "inspect", noted)

    for _ in range(2):
        job = await app.train("m", job_id="train")
        assert len(read) == 10, "a repeat reads nothing"
    result = job.result_as(TrainResult)
    assert result is not None
    assert result.left_out is not None
    [beyond] = result.left_out
    assert (beyond.code, beyond.count, beyond.locations) == (
        "MoreThanNeeded",
        10,
        tuple(sorted({*names} - {*read})),
    )
    assert "07.txt" in read, "of a rare category, all are used"
    summary = json.loads(await app.container.trained_models.summary(app.name, "m"))
    assert summary["warnings"][0]["code"] == "MoreThanNeeded"
    labels = {name: Labels(("Bike" if name == "07.txt" else "Car",)) for name in names}
    chosen = training.sample(
        [SplitDocument(document_id(name), Dataset.TRAIN, labels[name]) for name in names], SplitOptions()
    )
    assert chosen is not None
    results = json.loads(await app.container.trained_models.results(app.name, "m"))
    tested = {document_id(result["location"]) for result in results}
    assert tested == set(chosen.test), "the sample is not split again"

    read.clear()
    await app.container.trained_models.evaluate(app.name, "m", SplitOptions(), "again")
    await app.drain()
    ended = await app.job(JobKind.EVALUATE, "again")
    assert (ended.status, len(read)) == (JobStatus.SUCCEEDED, 10)


@pytest.mark.parametrize(
    ("rest", "left"),
    [
        pytest.param([], [], id="documents alone"),
        pytest.param([{"gone.txt": "BlobMissing"}], ["BlobMissing"], id="what cannot be used, by location"),
        pytest.param([3, 4], [], id="counts of what cannot be used"),
    ],
)
async def test_a_training_that_an_earlier_version_started_uses_the_labels_that_it_stored(
    app: App, rest: list[object], left: list[str]
) -> None:
    await app.create(on_upload=False)
    names = [f"{n}.txt" for n in range(8)]
    await app.upload({name: f"text of {name}" for name in names})
    await app.drain()
    for name in names:
        await app.label(name, "Bike" if name < "4.txt" else "Car")
    job = await app.container.training.start(app.name, TrainRequest("m"), "train")
    artifacts = app.container.stores.artifacts
    stored = await artifacts.read(f"{job.incarnation}/models/{job.id}/labels")
    assert stored is not None
    documents, *_, edits = unpack(stored)
    await artifacts.write(f"{job.incarnation}/models/{job.id}/labels", pack([documents, *rest, edits]))
    await app.drain()

    job = await app.container.training.get(app.name, "train")
    assert (job.status, [warning.code for warning in job.warnings]) == (JobStatus.SUCCEEDED, left)
    results = json.loads(await app.container.trained_models.results(app.name, "m"))
    assert len(results) == 2
