"""Many callers at once: only whole pairs, nothing acknowledged and lost, nothing in both sets."""

import asyncio
import random

import pytest

from shared.connection.binding import Binding
from shared.connection.state import SAGAS, Command, Saga, State, switch
from shared.domain.document import ANY_VERSION
from shared.domain.errors import Conflict, LabelbridgeError, LabelingLocked, StaleDocument
from shared.domain.labels import Labels
from shared.domain.project import Project
from shared.services.jobs.lifecycle import JobMessage
from tests.stateful.connection_world import AML, LS, World, new_job

CLIENTS = 16


async def pairs(world: World, projects: list[str]) -> dict[str, Binding]:
    found: dict[str, Binding] = {}
    for name in projects:
        connection = (await world.app.service.get(name)).connection
        if connection.bound:
            assert connection.binding is not None
            found[name] = connection.binding
    return found


async def test_clients_that_connect_crosswise_leave_only_whole_pairs(world: World) -> None:
    projects = [f"p{n}" for n in range(4)]
    for name in projects:
        await world.project(name, documents=(), pages=2)
    choose = random.Random(7)
    requests = [(choose.choice(projects), world.binding(choose.choice("abcd"))) for _ in range(CLIENTS * 2)]

    async def client(name: str, binding: Binding) -> bool:
        process = world.start()
        try:
            await process.service.connect(name, binding, "lead", new_job())
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(client(*request) for request in requests))
    for name in projects:
        await world.drive(name)
    found = await pairs(world, projects)
    assert len({binding.key for binding in found.values()}) == len(found), "one project an AML project"
    assert len(found) == sum(won) > 0
    for name, binding in found.items():
        row = await world.storage.table("connections").get("connections", f"studio|{binding.key}")
        incarnation = (await world.app.stores.directory.read(name)).incarnation
        assert row is not None
        assert (row.values["holds"], row.values["incarnation"]) == ("bound", incarnation)
        assert (await world.app.service.get(name)).connection.state is State.CONNECTED


async def test_racing_clients_never_remove_a_tombstone(memory_world: World) -> None:
    projects = [f"p{n}" for n in range(4)]
    for name in projects:
        await memory_world.project(name, documents=(), pages=2)
    await memory_world.connect("p0")

    async def leave() -> None:
        await memory_world.start().service.disconnect("p0", "news", True, "lead", new_job())

    async def come(name: str) -> None:
        with pytest.raises(Conflict):
            await memory_world.start().service.connect(name, memory_world.binding(), "lead", new_job())

    await asyncio.gather(leave(), *(come(name) for name in projects[1:] * 5))
    await memory_world.drive("p0")
    assert await pairs(memory_world, projects) == {}
    for name in projects:
        with pytest.raises(Conflict, match="never be connected again"):
            await memory_world.connect(name)


async def test_labels_saved_through_fifty_switches_are_neither_lost_nor_in_both_sets(
    memory_world: World,
) -> None:
    """Clients here and a tool there write as fast as they may, each its own documents, each value once."""
    locations = [f"{n}.txt" for n in range(CLIENTS)]
    project = await memory_world.project(documents=(*locations, "there.txt"), pages=8)
    await memory_world.connect()
    documents = await memory_world.read(project)
    acknowledged: dict[str, str] = {}
    refused = over = 0
    process = memory_world.start()

    async def client(location: str) -> None:
        nonlocal refused
        count = 0
        while not over:
            count += 1
            value = Labels((f"{'AB'[count % 2]}",))
            try:
                await process.documents.set_labels("p", documents[location].id, ANY_VERSION, value, location)
                acknowledged[location] = value.categories[0]
            except (LabelingLocked, StaleDocument):
                refused += 1
            await asyncio.sleep(0)

    async def switches() -> None:
        nonlocal over
        for number in range(50):
            await process.service.switch("p", LS if number % 2 else AML, "lead", new_job())
            await memory_world.drive()
            if number % 2 == 0:  # labeling is there now: what was acknowledged here was handed over whole
                there = await memory_world.file()
                assert {k: v for k, v in there.items() if k in acknowledged} == acknowledged
                assert (await memory_world.labels()) | {"there.txt": None} == {
                    **dict.fromkeys([*locations, "there.txt"]),
                    **acknowledged,
                }
                assert await memory_world.write_file({**there, "there.txt": "A"})
            await asyncio.sleep(0)
        over = 1

    await asyncio.gather(switches(), *(client(location) for location in locations))
    assert {k: v for k, v in (await memory_world.labels()).items() if k in acknowledged} == acknowledged
    assert len(acknowledged) == CLIENTS
    assert refused > 0, "the race was run"


def message(project: Project, job_id: str) -> JobMessage:
    return JobMessage(project=project.name, incarnation=project.incarnation, kind="connection", job=job_id)


async def test_four_workers_on_one_connection_do_each_step_once(memory_world: World) -> None:
    await memory_world.project()
    await memory_world.connect()
    project = await memory_world.app.stores.directory.read("p")
    command = Command(new_job(), "lead", memory_world.clock())
    await memory_world.app.service._begin(project, command, lambda before, asked: switch(before, AML, asked))
    before = len(await memory_world.app.service.history("p"))
    workers = [memory_world.start().service for _ in range(4)]
    for _ in range(20):
        await asyncio.gather(*(w.run(message(project, command.job_id)) for w in workers))
        memory_world.clock.pass_(21)
    steps = len(await memory_world.app.service.history("p")) - before
    assert steps == len(SAGAS[Saga.TO_AML]), "one transition a step"
    job = await memory_world.app.service.job("p", command.job_id)
    assert (await memory_world.app.service.job("p", job.id)).status == "succeeded"
    with pytest.raises(LabelbridgeError):
        await memory_world.label("a.txt", "A")
