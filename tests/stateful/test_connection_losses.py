"""What is lost or goes wrong while studios are connected: conditions, tables, messages, switches."""

from dataclasses import replace

import pytest

from shared.connection.state import State
from shared.connection.steps import ConnectionSteps
from shared.connection.studios.base import LabelBlobs
from shared.connection.studios.workspace import WorkspaceStudio
from shared.domain.errors import Conflict
from shared.domain.jobs import JobError, JobStatus
from tests.stateful.connection_world import AML, LS, World, new_job, state


async def test_all_unmet_conditions_are_reported_together_and_nothing_is_left(world: World) -> None:
    await world.project()
    await world.app.stores.directory.update(
        "p", lambda p: replace(p, categories=p.categories[:1], multilingual=True, language="am")
    )
    await world.storage.blobs.create_container("taken" + world.prefix)
    binding = replace(world.binding(), workspace_id="none" + world.prefix)
    job = await world.connect(binding=binding)
    assert job.status is JobStatus.FAILED
    codes = [error.code for error in job.errors]
    assert codes == [
        "Conflict",
        "EnoughCategories",
        "NotMultilingual",
        "LanguageSupported",
        "ContainerExists",
    ]
    checked = await world.app.service.check("p", binding)
    assert [c.code for c in checked if not c.met] == codes[1:]
    assert await state(world) == (State.NONE, LS)
    project = await world.app.stores.directory.read("p")
    assert (project.aml_project_path, project.lock) == (None, None)
    await world.label("a.txt", "A")
    await world.app.stores.directory.update(
        "p", lambda p: replace(p, categories=(*p.categories, replace(p.categories[0], name="B")))
    )


async def test_a_name_whose_connect_failed_is_as_it_was(world: World) -> None:
    await world.project()
    await world.app.stores.directory.update("p", lambda p: replace(p, multilingual=True))
    assert (await world.connect()).status is JobStatus.FAILED
    await world.app.stores.directory.update("p", lambda p: replace(p, multilingual=False))
    assert (await world.connect()).status is JobStatus.SUCCEEDED


async def test_a_switch_that_fails_is_undone_with_the_reason(memory_world: World) -> None:
    await memory_world.project()
    await memory_world.label("a.txt", "A")
    await memory_world.connect()
    project = await memory_world.app.stores.directory.read("p")
    connection = (await memory_world.app.service.get("p")).connection
    target = memory_world.app.service._steps.target(connection, project)
    await WorkspaceStudio(LabelBlobs(memory_world.storage.blobs)).open(
        target
    )  # as an owner who breaks the lease
    await memory_world.storage.blobs.delete(memory_world.labeling, "news/labels.jsonl")
    job = await memory_world.switch(AML)
    assert job.status is JobStatus.FAILED
    assert "was deleted" in job.errors[0].message
    assert await state(memory_world) == (State.CONNECTED, LS)
    await memory_world.label("b.txt", "B")
    assert (await memory_world.disconnect()).status is JobStatus.SUCCEEDED


async def test_after_the_loss_of_the_table_a_tombstone_stays(memory_world: World) -> None:
    await memory_world.project("p")
    await memory_world.project("q")
    await memory_world.connect()
    await memory_world.disconnect()
    await memory_world.storage.table("connections").drop()
    memory_world.start()
    for name in ("p", "q"):
        with pytest.raises(Conflict, match="never be connected again"):
            await memory_world.connect(name)


async def test_a_recreated_project_is_not_connected_and_the_tombstone_stays(memory_world: World) -> None:
    project = await memory_world.project()
    await memory_world.connect()
    await memory_world.disconnect()
    await memory_world.app.stores.projects.remove(
        await memory_world.app.stores.directory.read("p"), memory_world.clock()
    )
    again = await memory_world.project()
    assert again.incarnation != project.incarnation
    assert (await memory_world.app.service.get("p")).connection.state is State.NONE
    with pytest.raises(Conflict, match="never be connected again"):
        await memory_world.connect()


async def test_a_project_can_be_connected_again_after_the_table_is_lost(memory_world: World) -> None:
    """The project is still marked and locked by a connection that no row tells of: the way forward is to connect."""
    await memory_world.project()
    await memory_world.label("a.txt", "A")
    await memory_world.connect()
    await memory_world.switch(AML)
    await memory_world.storage.table("connections").drop()
    memory_world.start()
    assert (await memory_world.connect(binding=memory_world.binding("second"))).status is JobStatus.SUCCEEDED
    await memory_world.label("b.txt", "B")
    assert (await memory_world.labels()) == {"a.txt": "A", "b.txt": "B", "c.txt": None}


async def test_a_poisoned_message_undoes_the_operation(memory_world: World) -> None:
    await memory_world.project()
    await memory_world.connect()

    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    original = ConnectionSteps._export
    ConnectionSteps._export = broken  # type: ignore[method-assign]
    try:
        with pytest.raises(RuntimeError):
            await memory_world.app.service.switch("p", AML, "lead", new_job())
    finally:
        ConnectionSteps._export = original  # type: ignore[method-assign]
    job_id = (await memory_world.app.service.get("p")).connection.job_id
    memory_world.clock.pass_(60)
    begun = await memory_world.app.service.job("p", job_id)
    await memory_world.app.service.fail(begun, JobError("JobFailed", "It failed five times."))
    assert await state(memory_world) == (State.CONNECTED, LS)
    job = await memory_world.app.service.job("p", job_id)
    assert (job.status, job.errors[0].message) == (JobStatus.FAILED, "It failed five times.")
