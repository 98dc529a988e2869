"""Connect, switch, label there, switch back, disconnect: over the twin and over Azurite."""

from dataclasses import replace

import pytest

from shared.domain.bond import Bond, StudioKind
from shared.domain.connection_courses import State
from shared.domain.errors import Conflict, InvalidArgument, LabelingLocked
from shared.domain.jobs import JobStatus
from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel, Labels, Region
from shared.wire.aml_jsonl import OffsetUnit
from tests.stateful.connection_world import AML, LS, World, new_job, state


async def test_the_whole_life(world: World) -> None:
    project = await world.project()
    await world.label("a.txt", "A")
    assert (await world.connect()).status is JobStatus.SUCCEEDED
    assert await state(world) == (State.CONNECTED, LS)
    assert not await world.file_is_open()
    await world.label("b.txt", "B")

    assert (await world.switch(AML)).status is JobStatus.SUCCEEDED
    assert await world.file() == {"a.txt": "A", "b.txt": "B"}
    with pytest.raises(LabelingLocked) as locked:
        await world.label("c.txt", "A")
    assert locked.value.retry_after is None
    assert "Azure Machine Learning" in locked.value.message
    assert await world.labels(studio=AML) == {"a.txt": "A", "b.txt": "B", "c.txt": None}
    assert await world.write_file({"a.txt": "B", "c.txt": "A"})
    job = await world.sync()
    assert job.result["documentsImported"] == 2
    assert await world.labels(studio=AML) == {"a.txt": "B", "b.txt": None, "c.txt": "A"}
    assert await world.labels() == {"a.txt": "A", "b.txt": "B", "c.txt": None}, "kept apart"
    assert await world.write_file({"a.txt": "B", "c.txt": "B"})

    assert (await world.switch(LS)).status is JobStatus.SUCCEEDED
    assert not await world.write_file({"a.txt": "A"})
    assert await world.labels() == {"a.txt": "B", "b.txt": "B", "c.txt": "B"}
    await world.label("c.txt", "A")

    job = await world.disconnect(discard=False)
    assert job.status is JobStatus.SUCCEEDED
    assert await state(world) == (State.DISCONNECTED, LS)
    await world.label("a.txt", "A")
    for name in ("news", "NEWS"):
        with pytest.raises(Conflict, match="never be connected again"):
            await world.connect(bond=world.bond(name))
    assert (await world.connect(bond=world.bond("other"))).status is JobStatus.SUCCEEDED
    history = await world.app.service.history("p")
    assert history[0].facts["to"] == "connected"
    document = (await world.read(project))["a.txt"]
    actions = [one.entry.action for one in await world.app.documents.history("p", document.id)]
    assert actions == ["labelsSet", "labelsAdopted", "labelsImported", "labelsImported", "labelsSet"]


async def test_what_is_badly_spelled_is_refused_at_once(world: World) -> None:
    await world.project()
    with pytest.raises(InvalidArgument) as refused:
        await world.connect(bond=Bond(StudioKind.WORKSPACE, "X", "a/b"))
    assert [detail.target for detail in refused.value.details] == ["workspaceId", "amlProjectName"]
    with pytest.raises(InvalidArgument, match="not configured"):
        await world.connect(bond=Bond(StudioKind.AZURE_ML, "/subscriptions/x", "a"))
    with pytest.raises(InvalidArgument, match="belongs to Labelbridge"):
        await world.connect(bond=replace(world.bond(), workspace_id=f"{world.prefix}-tombstones"))


async def test_one_to_one(world: World) -> None:
    await world.project("p")
    await world.project("q")
    await world.connect("p")
    with pytest.raises(Conflict, match="connected with a project already"):
        await world.connect("q")
    with pytest.raises(Conflict, match="not possible while the connection is connected"):
        await world.connect("p", world.bond("second"))
    with pytest.raises(Conflict):
        await world.connect("p")


async def test_an_order_that_is_asked_for_twice_is_one(world: World) -> None:
    await world.project()
    job_id = new_job()
    first = await world.app.service.connect("p", world.bond(), "lead", job_id)
    again = await world.app.service.connect("p", world.bond(), "lead", job_id)
    assert first.id == again.id == job_id
    await world.drive()
    assert len(await world.app.stores.jobs.list(first.incarnation, first.kind)) == 1


async def test_bad_lines_are_reported_and_good_ones_taken(world: World) -> None:
    await world.project()
    await world.connect()
    await world.switch(AML)
    bad = (
        world.line("nobody.txt", "A")
        + b"{\n"
        + b'{"image_url": "AmlDatastore://other/b.txt", "label": "A"}\n'
    )
    await world.write_file({"a.txt": "A"}, extra=bad)
    job = await world.switch(LS)
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert [error.target for error in job.errors] == ["line 2", "line 3", "line 4"]
    assert "no document 'nobody.txt'" in job.errors[0].message
    assert await world.labels() == {"a.txt": "A", "b.txt": None, "c.txt": None}
    assert await state(world) == (State.CONNECTED, LS)


async def test_a_bad_line_costs_no_other_document_its_labels(world: World) -> None:
    await world.project()
    await world.connect()
    await world.switch(AML)
    await world.write_file({"a.txt": "A", "b.txt": "B"})
    await world.sync()
    await world.write_file({"a.txt": "B"}, extra=b"{\n")
    await world.sync()
    assert await world.labels(studio=AML) == {"a.txt": "B", "b.txt": "B", "c.txt": None}


async def test_unknown_categories_are_defined(world: World) -> None:
    await world.project()
    await world.connect()
    await world.switch(AML)
    await world.write_file({"a.txt": "New"})
    await world.switch(LS)
    project = await world.app.stores.directory.read("p")
    assert project.category_names == ("A", "B", "New")


async def test_entities_keep_their_regions_and_units(twin: World) -> None:
    world = await World(twin.storage, unit=OffsetUnit.CODE_POINT).prepare()
    await world.project(kind=ProjectKind.ENTITIES, text="\U0001f600 Ada and Bob")
    ours = Labels(regions=(Region(0, 6, (EntityLabel("A", 3, 3),)), Region(6, 8)))
    await world.label("a.txt", ours)
    await world.connect()
    await world.switch(AML)
    assert await world.file() == {"a.txt": [{"label": "A", "offsetStart": 2, "offsetEnd": 5}]}
    bob = {"label": "B", "offsetStart": 10, "offsetEnd": 13}
    await world.write_file({**await world.file(), "b.txt": [bob], "c.txt": []})
    await world.switch(LS)
    project = await world.app.stores.directory.read("p")
    found = await world.read(project)
    assert found["a.txt"].labels == ours, "what AML did not change keeps its regions"
    assert found["b.txt"].labels == Labels(regions=(Region(0, 14, (EntityLabel("B", 11, 3),)),))
    assert found["c.txt"].labels == Labels(regions=(Region(0, 14),)), "labeled with nothing"


async def test_a_disconnect_from_aml_says_what_is_lost_and_takes_nothing_from_us(world: World) -> None:
    await world.project()
    await world.label("a.txt", "A")
    await world.connect()
    await world.switch(AML)
    await world.write_file({"a.txt": "B", "b.txt": "B"})
    assert (await world.app.service.get("p")).unsynced == 2
    with pytest.raises(InvalidArgument, match="Labels of 2 documents"):
        await world.disconnect(confirm="")
    with pytest.raises(Conflict, match="Labels of 2 documents"):
        await world.disconnect(discard=False)
    assert await state(world) == (State.CONNECTED, AML)
    await world.disconnect()
    assert await world.labels() == {"a.txt": "A", "b.txt": None, "c.txt": None}
    assert not await world.file_is_open()
    assert await world.file() == {"a.txt": "B", "b.txt": "B"}, "never deleted"
    await world.label("b.txt", "A")


async def test_a_run_of_the_timer_with_nothing_new_costs_at_most_five_calls(twin: World) -> None:
    await twin.project()
    await twin.connect()
    await twin.switch(AML)
    await twin.write_file({"a.txt": "A"})
    await twin.app.service.sync_all()
    await twin.drive()
    assert (await twin.labels(studio=AML))["a.txt"] == "A"
    before = len(twin.app.faults.calls)
    await twin.app.service.sync_all()
    assert len(twin.app.faults.calls) - before <= 5


async def test_the_timer_leaves_alone_what_is_not_its_own(twin: World) -> None:
    await twin.project()
    await twin.connect()
    before = len(await twin.app.service.history("p"))
    await twin.app.service.sync_all()
    assert len(await twin.app.service.history("p")) == before
    with pytest.raises(Conflict, match="Possible"):
        await twin.sync()


async def test_training_on_amls_labels_imports_first_and_fails_with_the_reason(twin: World) -> None:
    await twin.project()
    await twin.connect()
    await twin.switch(AML)
    await twin.write_file({"a.txt": "A"})
    assert (await twin.app.service.import_latest("p")).status is JobStatus.SUCCEEDED
    assert (await twin.labels(studio=AML))["a.txt"] == "A"
    await twin.storage.blobs.delete(twin.labeling, "news/labels.jsonl")
    with pytest.raises(Conflict, match=r"could not be imported.*was deleted"):
        await twin.app.service.import_latest("p")
    assert await state(twin) == (State.CONNECTED, AML)
