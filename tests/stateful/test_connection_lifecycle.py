"""Connect, switch, label there, switch back, disconnect: over the memory_world and over Azurite."""

from dataclasses import replace

import pytest

from shared.connection.binding import Binding, StudioKind
from shared.connection.state import State
from shared.domain.errors import Conflict, InvalidArgument, LabelingLocked
from shared.domain.jobs import JobStatus
from shared.domain.labels import END_OF_TEXT, EntityLabel, Labels, Region
from shared.domain.names import ProjectKind
from shared.wire.aml_jsonl import OffsetUnit
from tests.stateful.connection_world import AML, LS, World, new_job, state
from tests.support.services import result_json


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
    assert result_json(job)["documentsImported"] == 2
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
            await world.connect(binding=world.binding(name))
    assert (await world.connect(binding=world.binding("other"))).status is JobStatus.SUCCEEDED
    history = await world.app.service.history("p")
    assert history[0].transition.after == "connected"
    document = (await world.read(project))["a.txt"]
    actions = [change.entry.action for change in await world.app.documents.history("p", document.id)]
    assert actions == ["labelsSet", "labelsAdopted", "labelsImported", "labelsImported", "labelsSet"]


async def test_all_invalid_fields_are_refused_at_once(world: World) -> None:
    await world.project()
    with pytest.raises(InvalidArgument) as refused:
        await world.connect(binding=Binding(StudioKind.WORKSPACE, "X", "a/b"))
    assert [detail.target for detail in refused.value.details] == ["workspaceId", "amlProjectName"]
    with pytest.raises(InvalidArgument) as refused:
        await world.connect(binding=Binding(StudioKind.AZURE_ML, "/subscriptions/x", "a"))
    assert [detail.target for detail in refused.value.details] == ["workspaceId", "studio"]
    assert "not configured" in refused.value.details[1].message
    with pytest.raises(InvalidArgument, match="reserved for Labelbridge"):
        await world.connect(binding=replace(world.binding(), workspace_id=f"{world.prefix}-tombstones"))


async def test_one_to_one(world: World) -> None:
    await world.project("p")
    await world.project("q")
    await world.connect("p")
    with pytest.raises(Conflict, match="already connected to a project"):
        await world.connect("q")
    with pytest.raises(Conflict, match=r"not possible while the connection is .connected."):
        await world.connect("p", world.binding("second"))
    with pytest.raises(Conflict):
        await world.connect("p")


async def test_an_order_that_is_asked_for_twice_is_one(world: World) -> None:
    await world.project()
    job_id = new_job()
    first = await world.app.service.connect("p", world.binding(), "lead", job_id)
    again = await world.app.service.connect("p", world.binding(), "lead", job_id)
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


async def test_entities_keep_their_regions_and_units(memory_world: World) -> None:
    world = await World(memory_world.storage, unit=OffsetUnit.CODE_POINT).prepare()
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


async def test_an_entity_inside_an_emoji_is_a_bad_line_of_sync_and_switch_back(memory_world: World) -> None:
    world = await World(memory_world.storage, unit=OffsetUnit.UTF16).prepare()
    await world.project(kind=ProjectKind.ENTITIES, text="\U0001f600 Ada and Bob")
    await world.connect()
    await world.switch(AML)
    ada = {"label": "A", "offsetStart": 3, "offsetEnd": 6}
    await world.write_file({"a.txt": [ada], "b.txt": [ada]})
    assert (await world.sync()).status is JobStatus.SUCCEEDED
    await world.write_file({"a.txt": [{**ada, "offsetStart": 1}], "b.txt": [{**ada, "offsetStart": 2}]})
    for job in (await world.sync(), await world.switch(LS)):
        assert job.status is JobStatus.PARTIALLY_COMPLETED
        assert [error.target for error in job.errors] == ["line 1"]
        assert "splits a surrogate pair" in job.errors[0].message
    assert await world.labels() == {"a.txt": [["A", 3, 3]], "b.txt": [["A", 2, 4]], "c.txt": None}


@pytest.mark.parametrize("unit", OffsetUnit)
async def test_an_entity_inside_a_combining_sequence_is_a_bad_line_of_sync_and_switch_back(
    memory_world: World, unit: OffsetUnit
) -> None:
    """Also in a text of which no character takes two UTF-16 code units; what was synced before is not read again."""
    world = await World(memory_world.storage, unit=unit).prepare()
    await world.project(kind=ProjectKind.ENTITIES, text="Ande\u0301 and Bob")
    await world.connect()
    await world.switch(AML)
    whole = {"label": "A", "offsetStart": 0, "offsetEnd": 5}
    await world.write_file({"a.txt": [whole], "b.txt": [whole]})
    assert (await world.sync()).status is JobStatus.SUCCEEDED
    await world.write_file({"a.txt": [{**whole, "offsetEnd": 4}], "b.txt": [whole]})
    for job in (await world.sync(), await world.switch(LS)):
        assert job.status is JobStatus.PARTIALLY_COMPLETED
        assert [error.target for error in job.errors] == ["line 1"]
        assert "ends inside a character" in job.errors[0].message
    assert await world.labels() == {"a.txt": [["A", 0, 5]], "b.txt": [["A", 0, 5]], "c.txt": None}


async def test_an_entity_inside_an_emoji_of_a_text_that_is_read_after_the_sync_is_refused(
    memory_world: World,
) -> None:
    world = await World(memory_world.storage, unit=OffsetUnit.UTF16).prepare()
    project = await world.project(kind=ProjectKind.ENTITIES, documents=("a.txt",))
    for name in ("torn.txt", "fits.txt"):
        await world.register_unread(project, name)
    await world.connect()
    await world.switch(AML)
    ada = {"label": "A", "offsetStart": 3, "offsetEnd": 6}
    await world.write_file({"torn.txt": [{**ada, "offsetStart": 1}], "fits.txt": [ada]})
    assert (await world.sync()).status is JobStatus.SUCCEEDED, "the texts are not known yet"
    for name in ("torn.txt", "fits.txt"):
        await world.upload(project, name, "\U0001f600 Ada and Bob")
    found = await world.read(project)
    assert found["torn.txt"].aml_labels is None
    assert found["fits.txt"].aml_labels == Labels(regions=(Region(0, 14, (EntityLabel("A", 3, 3),)),))
    job = await world.switch(LS)
    assert [error.target for error in job.errors] == ["line 1"]
    assert "splits a surrogate pair" in job.errors[0].message
    assert await world.labels() == {"a.txt": None, "fits.txt": [["A", 3, 3]], "torn.txt": None}


@pytest.mark.parametrize("unit", OffsetUnit)
async def test_labels_that_come_before_the_text(memory_world: World, unit: OffsetUnit) -> None:
    """The region of a text that was not read ends with the text; code points cannot be converted without it."""
    world = await World(memory_world.storage, unit=unit).prepare()
    project = await world.project(kind=ProjectKind.ENTITIES, documents=("a.txt",))
    await world.register_unread(project, "later.txt")
    await world.connect()
    await world.switch(AML)
    ada = {"label": "A", "offsetStart": 0, "offsetEnd": 3}
    await world.write_file({"later.txt": [ada]})
    job = await world.switch(LS)
    if unit is OffsetUnit.CODE_POINT:
        assert [error.target for error in job.errors] == ["line 1"]
        return
    await world.upload(project, "later.txt", "Ada and Bob")
    labels = (await world.read(project))["later.txt"].labels
    assert labels == Labels(regions=(Region(0, 11, (EntityLabel("A", 0, 3),)),))


async def test_labels_of_a_text_that_cannot_be_read_are_kept(memory_world: World) -> None:
    world = await World(memory_world.storage, unit=OffsetUnit.CODE_POINT).prepare()
    await world.project(kind=ProjectKind.ENTITIES, text="\U0001f600 Ada and Bob")
    await world.connect()
    await world.switch(AML)
    await world.write_file({"a.txt": [{"label": "A", "offsetStart": 2, "offsetEnd": 5}]})
    await world.sync()
    await world.storage.blobs.delete(world.texts, "a.txt")
    await world.write_file({"a.txt": [{"label": "A", "offsetStart": 0, "offsetEnd": 5}]})
    assert "cannot be read" in (await world.sync()).errors[0].message
    assert (await world.labels(studio=AML))["a.txt"] == [["A", 3, 3]]


async def test_labels_that_cannot_be_converted_are_not_handed_over(memory_world: World) -> None:
    """Written as they are they would mark another place, and replace the right labels on the way back."""
    world = await World(memory_world.storage, unit=OffsetUnit.CODE_POINT).prepare()
    await world.project(kind=ProjectKind.ENTITIES, text="\U0001f600 Ada and Bob")
    for location in ("a.txt", "b.txt"):
        await world.label(location, Labels(regions=(Region(0, 14, (EntityLabel("A", 3, 3),)),)))
    await world.storage.blobs.delete(world.texts, "a.txt")
    await world.connect()
    job = await world.switch(AML)
    assert list(await world.file()) == ["b.txt"]
    assert [(w.code, "'a.txt'" in w.message) for w in job.warnings] == [("LabelsLeftOut", True)]
    await world.switch(LS)
    assert (await world.labels())["a.txt"] == [["A", 3, 3]]


@pytest.mark.parametrize("unit", OffsetUnit)
async def test_labels_that_do_not_fit_their_text_are_not_handed_over(
    memory_world: World, unit: OffsetUnit
) -> None:
    world = await World(memory_world.storage, unit=unit).prepare()
    project = await world.project(kind=ProjectKind.ENTITIES, documents=())
    labels = Labels(regions=(Region(0, END_OF_TEXT, (EntityLabel("A", 20, 3),)),))
    await world.register_unread(project, "short.txt", labels)
    await world.upload(project, "short.txt", "Too short")
    await world.connect()
    job = await world.switch(AML)
    assert (job.status, [w.code for w in job.warnings]) == (JobStatus.SUCCEEDED, ["LabelsLeftOut"])
    assert await world.file() == {}


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


async def test_a_run_of_the_timer_with_nothing_new_costs_at_most_five_calls(memory_world: World) -> None:
    await memory_world.project()
    await memory_world.connect()
    await memory_world.switch(AML)
    await memory_world.write_file({"a.txt": "A"})
    await memory_world.app.service.sync_all()
    await memory_world.drive()
    assert (await memory_world.labels(studio=AML))["a.txt"] == "A"
    before = len(memory_world.app.faults.calls)
    await memory_world.app.service.sync_all()
    assert len(memory_world.app.faults.calls) - before <= 5


async def test_the_timer_leaves_alone_what_is_not_its_own(memory_world: World) -> None:
    await memory_world.project()
    await memory_world.connect()
    before = len(await memory_world.app.service.history("p"))
    await memory_world.app.service.sync_all()
    assert len(await memory_world.app.service.history("p")) == before
    with pytest.raises(Conflict, match="You can"):
        await memory_world.sync()


async def test_training_on_amls_labels_imports_first_and_fails_with_the_reason(memory_world: World) -> None:
    await memory_world.project()
    await memory_world.connect()
    await memory_world.switch(AML)
    await memory_world.write_file({"a.txt": "A"})
    assert (await memory_world.app.service.import_latest("p")).status is JobStatus.SUCCEEDED
    assert (await memory_world.labels(studio=AML))["a.txt"] == "A"
    await memory_world.storage.blobs.delete(memory_world.labeling, "news/labels.jsonl")
    with pytest.raises(Conflict, match=r"could not be imported.*was deleted"):
        await memory_world.app.service.import_latest("p")
    assert await state(memory_world) == (State.CONNECTED, AML)
