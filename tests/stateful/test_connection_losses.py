"""What is lost or goes wrong while studios are connected: conditions, tables, messages, switches."""

from dataclasses import replace

import pytest

from shared.domain.connection_courses import State
from shared.domain.errors import Conflict
from shared.domain.jobs import JobStatus
from shared.services.connection_steps import ConnectionSteps
from shared.services.messages import JobMessage
from shared.storage.label_blobs import LabelBlobs
from shared.studios.workspace import WorkspaceStudio
from tests.stateful.connection_world import AML, LS, World, new_job, state


async def test_all_unmet_conditions_are_reported_together_and_nothing_is_left(world: World) -> None:
    await world.project()
    await world.app.stores.directory.update(
        "p", lambda p: replace(p, categories=p.categories[:1], multilingual=True, language="am")
    )
    await world.storage.blobs.create_container("taken" + world.prefix)
    bond = replace(world.bond(), workspace_id="none" + world.prefix)
    job = await world.connect(bond=bond)
    assert job.status is JobStatus.FAILED
    codes = [error.code for error in job.errors]
    assert codes == [
        "Conflict",
        "EnoughCategories",
        "NotMultilingual",
        "LanguageSupported",
        "ContainerExists",
    ]
    checked = await world.app.service.check("p", bond)
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


async def test_a_switch_that_cannot_succeed_goes_back_with_the_reason(twin: World) -> None:
    await twin.project()
    await twin.label("a.txt", "A")
    await twin.connect()
    project = await twin.app.stores.directory.read("p")
    connection = (await twin.app.service.get("p")).connection
    site = twin.app.service._steps.site(connection, project)
    await WorkspaceStudio(LabelBlobs(twin.storage.blobs)).open(site)  # as an owner who breaks the lease
    await twin.storage.blobs.delete(twin.labeling, "news/labels.jsonl")
    job = await twin.switch(AML)
    assert job.status is JobStatus.FAILED
    assert "was deleted" in job.errors[0].message
    assert await state(twin) == (State.CONNECTED, LS)
    await twin.label("b.txt", "B")
    assert (await twin.disconnect()).status is JobStatus.SUCCEEDED


async def test_after_the_loss_of_the_table_a_tombstone_stays(twin: World) -> None:
    await twin.project("p")
    await twin.project("q")
    await twin.connect()
    await twin.disconnect()
    await twin.storage.table("connections").drop()
    twin.start()
    for name in ("p", "q"):
        with pytest.raises(Conflict, match="never be connected again"):
            await twin.connect(name)


async def test_a_project_made_again_is_connected_with_nothing_and_the_tombstone_stays(twin: World) -> None:
    project = await twin.project()
    await twin.connect()
    await twin.disconnect()
    await twin.app.stores.projects.remove(await twin.app.stores.directory.read("p"), twin.clock())
    again = await twin.project()
    assert again.incarnation != project.incarnation
    assert (await twin.app.service.get("p")).connection.state is State.NONE
    with pytest.raises(Conflict, match="never be connected again"):
        await twin.connect()


async def test_a_table_that_is_lost_while_bound_can_be_connected_anew(twin: World) -> None:
    """The project is still marked and locked by a connection that no row tells of: the way forward is to connect."""
    await twin.project()
    await twin.label("a.txt", "A")
    await twin.connect()
    await twin.switch(AML)
    await twin.storage.table("connections").drop()
    twin.start()
    assert (await twin.connect(bond=twin.bond("second"))).status is JobStatus.SUCCEEDED
    await twin.label("b.txt", "B")
    assert (await twin.labels()) == {"a.txt": "A", "b.txt": "B", "c.txt": None}


async def test_a_poisoned_message_takes_the_operation_back(twin: World) -> None:
    await twin.project()
    await twin.connect()

    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    project = await twin.app.stores.directory.read("p")
    original = ConnectionSteps._export
    ConnectionSteps._export = broken  # type: ignore[method-assign]
    try:
        with pytest.raises(RuntimeError):
            await twin.app.service.switch("p", AML, "lead", new_job())
    finally:
        ConnectionSteps._export = original  # type: ignore[method-assign]
    job_id = (await twin.app.service.get("p")).connection.job_id
    twin.clock.pass_(60)
    message = JobMessage(project="p", incarnation=project.incarnation, kind="connection", job=job_id)
    await twin.app.service.give_up(message, "It failed five times.")
    assert await state(twin) == (State.CONNECTED, LS)
    job = await twin.app.service.job("p", job_id)
    assert (job.status, job.errors[0].message) == (JobStatus.FAILED, "It failed five times.")
