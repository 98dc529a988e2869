"""A new project from a label file of Azure Machine Learning."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import JobStatus
from shared.domain.kinds import Dataset
from shared.domain.labels import EntityLabel, Labels, Region
from shared.services.import_labels import ImportLabelsService, LabelsRequest
from shared.services.messages import JobMessage
from shared.wire.aml_jsonl import OffsetUnit
from tests.stateful.connection_world import World
from tests.support.services import in_process

type Start = Callable[..., Any]


@pytest.fixture
def start(twin: World) -> Start:
    app = in_process(twin.storage, twin.clock, prefix=twin.prefix).container
    service = ImportLabelsService(app.stores, app.imports)

    async def run(data: bytes, kind: str, **more: Any) -> Any:
        await twin.storage.blobs.write(twin.labeling, "export.jsonl", data)
        metadata = {"projectKind": kind, "storageInputContainerName": twin.texts, "language": "en-us"}
        request = LabelsRequest(metadata, twin.labeling, more.pop("blob", "export.jsonl"), **more)
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


async def test_good_lines_are_taken_and_bad_ones_told(twin: World, start: Start) -> None:
    data = twin.line("a.txt", "Sports") + b"{\n" + twin.line("b.txt", "News")
    data += twin.line("c.txt", "News").replace(twin.texts.encode(), b"elsewhere")
    job = await start(data, "CustomSingleLabelClassification")
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert [error.target for error in job.errors] == ["line 2", "line 4"]
    found = await documents(twin)
    assert {k: d.labels for k, d in found.items()} == {
        "a.txt": Labels(("Sports",)),
        "b.txt": Labels(("News",)),
    }
    project = await twin.app.stores.directory.read("new")
    assert project.category_names == ("News", "Sports")
    with pytest.raises(Conflict, match="exists already"):
        await start(data + b"\n", "CustomSingleLabelClassification")


async def test_another_datastore_may_be_named(twin: World, start: Start) -> None:
    data = twin.line("a.txt", ["x"]) + twin.line("b.txt", []).replace(twin.texts.encode(), b"elsewhere")
    job = await start(data, "customMultiLabelClassification", datastore="elsewhere")
    assert [error.target for error in job.errors] == ["line 1"]
    assert {k: d.labels for k, d in (await documents(twin)).items()} == {"b.txt": Labels()}


async def test_entities_are_measured_in_the_texts(twin: World, start: Start) -> None:
    for name in ("a.txt", "b.txt"):
        await twin.storage.blobs.write(twin.texts, name, "\U0001f600 Ada".encode())
    span = {"label": "PER", "offsetStart": 2, "offsetEnd": 5}
    late = {"label": "PER", "offsetStart": 2, "offsetEnd": 6}
    data = twin.line("a.txt", [span]) + twin.line("b.txt", [late]) + twin.line("c.txt", [span])
    job = await start(data, "CustomEntityRecognition", unit=OffsetUnit.CODE_POINT)
    assert [error.target for error in job.errors] == ["line 2", "line 3"]
    assert "behind the end" in job.errors[0].message
    found = await documents(twin)
    assert found["a.txt"].labels == Labels(regions=(Region(0, 6, (EntityLabel("PER", 3, 3),)),))


async def test_the_split_is_the_callers(twin: World, start: Start) -> None:
    data = b"".join(twin.line(f"{n}.txt", "AB"[n % 2]) for n in range(200))
    await start(data, "CustomSingleLabelClassification", test_percentage=20)
    tests = [d for d in (await documents(twin)).values() if d.dataset is Dataset.TEST]
    assert 20 < len(tests) < 60


async def test_what_cannot_be_imported_is_refused_at_once(twin: World, start: Start) -> None:
    with pytest.raises(InvalidArgument, match="There is no blob"):
        await start(b"", "CustomSingleLabelClassification", blob="none")
    with pytest.raises(InvalidArgument, match="kind"):
        await start(twin.line("a.txt", "x"), "Custom")
    with pytest.raises(InvalidArgument, match=r"No line .* Line 1"):
        await start(b"{\n", "CustomSingleLabelClassification")
