"""A new project from a label file of Azure Machine Learning."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.document import Reading, apply, document_id
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import JobStatus
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import Dataset
from shared.services.jobs.lifecycle import JobMessage
from shared.services.project_files.import_labels import ImportLabelsService, LabelsRequest
from shared.wire.aml_jsonl import OffsetUnit
from shared.wire.documents import document_json, history_json
from shared.wire.json_codec import ValidationErrors
from shared.wire.project_file import read_metadata
from tests.stateful.connection_world import World
from tests.support.services import in_process

type Start = Callable[..., Any]


@pytest.fixture
def start(memory_world: World) -> Start:
    app = in_process(memory_world.storage, memory_world.clock, prefix=memory_world.prefix).container
    service = ImportLabelsService(app.stores, app.imports)

    async def run(data: bytes, kind: str, **more: Any) -> Any:
        await memory_world.storage.blobs.write(memory_world.labeling, "export.jsonl", data)
        metadata = {"projectKind": kind, "storageInputContainerName": memory_world.texts, "language": "en-us"}
        errors = ValidationErrors()
        details = read_metadata(metadata, errors)
        errors.raise_any()
        request = LabelsRequest(details, memory_world.labeling, more.pop("blob", "export.jsonl"), **more)
        job = await service.start("new", request, "owner", f"job-{len(data)}")
        if not job.status.ended:
            await app.imports.run(JobMessage(project="new", incarnation="-", kind="import", job=job.id))
            job = await app.imports.get("new", job.id)
        return job

    return run


async def documents(world: World) -> dict[str, Any]:
    world.start()
    project = await world.app.stores.directory.read("new")
    return await world.read(project)


async def test_good_lines_are_imported_and_bad_ones_reported(memory_world: World, start: Start) -> None:
    data = memory_world.line("a.txt", "Sports") + b"{\n" + memory_world.line("b.txt", "News")
    data += memory_world.line("c.txt", "News").replace(memory_world.texts.encode(), b"elsewhere")
    job = await start(data, "CustomSingleLabelClassification")
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert [error.target for error in job.errors] == ["line 2", "line 4"]
    found = await documents(memory_world)
    assert {k: d.labels for k, d in found.items()} == {
        "a.txt": Labels(("Sports",)),
        "b.txt": Labels(("News",)),
    }
    project = await memory_world.app.stores.directory.read("new")
    assert project.category_names == ("News", "Sports")
    with pytest.raises(Conflict, match="already exists"):
        await start(data + b"\n", "CustomSingleLabelClassification")


async def test_another_datastore_may_be_named(memory_world: World, start: Start) -> None:
    data = memory_world.line("a.txt", ["x"]) + memory_world.line("b.txt", []).replace(
        memory_world.texts.encode(), b"elsewhere"
    )
    job = await start(data, "customMultiLabelClassification", datastore="elsewhere")
    assert [error.target for error in job.errors] == ["line 1"]
    assert {k: d.labels for k, d in (await documents(memory_world)).items()} == {"b.txt": Labels()}


async def test_entities_are_measured_in_the_texts(memory_world: World, start: Start) -> None:
    for name in ("a.txt", "b.txt"):
        await memory_world.storage.blobs.write(memory_world.texts, name, "\U0001f600 Ada".encode())
    span = {"label": "PER", "offsetStart": 2, "offsetEnd": 5}
    late = {"label": "PER", "offsetStart": 2, "offsetEnd": 6}
    data = (
        memory_world.line("a.txt", [span])
        + memory_world.line("b.txt", [late])
        + memory_world.line("c.txt", [span])
    )
    job = await start(data, "CustomEntityRecognition", unit=OffsetUnit.CODE_POINT)
    assert [error.target for error in job.errors] == ["line 2", "line 3"]
    assert "beyond the end" in job.errors[0].message
    found = await documents(memory_world)
    assert found["a.txt"].labels == Labels(regions=(Region(0, 6, (EntityLabel("PER", 3, 3),)),))


async def test_the_split_is_the_callers(memory_world: World, start: Start) -> None:
    data = b"".join(memory_world.line(f"{n}.txt", "AB"[n % 2]) for n in range(200))
    await start(data, "CustomSingleLabelClassification", test_percentage=20)
    tests = [d for d in (await documents(memory_world)).values() if d.dataset is Dataset.TEST]
    assert 20 < len(tests) < 60


async def test_what_cannot_be_imported_is_refused_at_once(memory_world: World, start: Start) -> None:
    with pytest.raises(InvalidArgument, match="does not exist"):
        await start(b"", "CustomSingleLabelClassification", blob="none")
    with pytest.raises(InvalidArgument, match="'projectKind' must be one of"):
        await start(memory_world.line("a.txt", "x"), "Custom")
    with pytest.raises(InvalidArgument, match=r"No line .* Line 1"):
        await start(b"{\n", "CustomSingleLabelClassification")


@pytest.mark.parametrize("unit", OffsetUnit)
async def test_an_entity_that_does_not_fit_its_text_is_a_bad_line_and_stops_no_other(
    memory_world: World, start: Start, unit: OffsetUnit
) -> None:
    for name in ("a.txt", "b.txt"):
        await memory_world.storage.blobs.write(memory_world.texts, name, ("\U0001f600" * 300).encode())
    torn, long, good = (
        {"label": "PER", "offsetStart": first, "offsetEnd": end} for first, end in ((1, 4), (0, 260), (2, 4))
    )
    data = memory_world.line("a.txt", [torn if unit is OffsetUnit.UTF16 else long])
    data += memory_world.line("b.txt", [good])
    job = await start(data, "CustomEntityRecognition", unit=unit)
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert [error.target for error in job.errors] == ["line 1"]
    assert list(await documents(memory_world)) == ["b.txt"]


@pytest.mark.parametrize("unit", OffsetUnit)
async def test_an_entity_inside_a_combining_sequence_is_a_bad_line(
    memory_world: World, start: Start, unit: OffsetUnit
) -> None:
    for name in ("a.txt", "b.txt"):
        await memory_world.storage.blobs.write(memory_world.texts, name, "Ande\u0301 and Bob".encode())
    data = memory_world.line("a.txt", [{"label": "PER", "offsetStart": 0, "offsetEnd": 4}])
    data += memory_world.line("b.txt", [{"label": "PER", "offsetStart": 0, "offsetEnd": 5}])
    job = await start(data, "CustomEntityRecognition", unit=unit)
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert [error.target for error in job.errors] == ["line 1"]
    assert "ends inside a character" in job.errors[0].message
    assert list(await documents(memory_world)) == ["b.txt"]


async def test_the_region_of_a_text_that_comes_later_is_the_whole_text(
    memory_world: World, start: Start
) -> None:
    span = {"label": "PER", "offsetStart": 0, "offsetEnd": 3}
    await start(
        memory_world.line("a.txt", [span]) + memory_world.line("b.txt", []),
        "CustomEntityRecognition",
        unit=OffsetUnit.UTF16,
    )
    for text in ("Ada and Bob and more", "Ada"):
        for location, document in (await documents(memory_world)).items():
            read = apply(document, Reading("e", text, None), "r")
            expected = (EntityLabel("PER", 0, 3),) if location == "a.txt" else ()
            assert read.labels == Labels(regions=(Region(0, len(text), expected),))
            assert read.problems == ()
            assert apply(read, Reading("e", text, None), "r2") is read


async def test_no_length_that_nobody_knows_is_exported_or_shown(memory_world: World, start: Start) -> None:
    span = {"label": "PER", "offsetStart": 4, "offsetEnd": 7}
    data = memory_world.line("a.txt", [span]) + memory_world.line("b.txt", [])
    await start(data, "CustomEntityRecognition", unit=OffsetUnit.UTF16)
    app = in_process(memory_world.storage, memory_world.clock, prefix=memory_world.prefix).container
    project = await app.projects.get("new")

    export = await app.exports.start("new", "export")
    content, _ = await app.exports.result("new", export.id)
    file = json.loads(content)
    shown = [document_json(document, project) for document in (await documents(memory_world)).values()]
    past = await app.documents.history("new", document_id("a.txt"))
    reported = [
        history_json(change.by, change.at, change.entry, project.kind)["details"]["after"] for change in past
    ]

    for found in (file["assets"]["documents"], shown):
        regions = {document["location"]: document["entities"] for document in found}
        assert [(r["regionOffset"], r["regionLength"]) for r in regions["a.txt"]] == [(0, 7)]
        assert [(r["regionOffset"], r["regionLength"]) for r in regions["b.txt"]] == [(0, 0)]
    assert [entry["entities"][0]["regionLength"] for entry in reported] == [7]
