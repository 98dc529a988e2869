"""Many callers at once: only whole pairs, nothing acknowledged and lost, nothing in both sets."""

import asyncio
import random

import pytest

from shared.domain.bond import Bond
from shared.domain.connection import Order, switch
from shared.domain.connection_courses import COURSES, Course, State
from shared.domain.errors import Conflict, LabelbridgeError, LabelingLocked, StaleDocument
from shared.domain.labels import Labels
from shared.domain.project import Project
from shared.services.etags import ANY
from shared.services.messages import JobMessage
from tests.stateful.connection_world import AML, LS, World, new_job

CLIENTS = 16


async def pairs(world: World, projects: list[str]) -> dict[str, Bond]:
    found: dict[str, Bond] = {}
    for name in projects:
        connection = (await world.app.service.get(name)).connection
        if connection.bound:
            assert connection.bond is not None
            found[name] = connection.bond
    return found


async def test_clients_that_connect_crosswise_leave_only_whole_pairs(world: World) -> None:
    projects = [f"p{n}" for n in range(4)]
    for name in projects:
        await world.project(name, documents=(), pages=2)
    choose = random.Random(7)
    orders = [(choose.choice(projects), world.bond(choose.choice("abcd"))) for _ in range(CLIENTS * 2)]

    async def client(name: str, bond: Bond) -> bool:
        process = world.start()
        try:
            await process.service.connect(name, bond, "lead", new_job())
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(client(*order) for order in orders))
    for name in projects:
        await world.drive(name)
    found = await pairs(world, projects)
    assert len({bond.key for bond in found.values()}) == len(found), "one project an AML project"
    assert len(found) == sum(won) > 0
    for name, bond in found.items():
        row = await world.storage.table("connections").get("connections", f"studio|{bond.key}")
        incarnation = (await world.app.stores.directory.read(name)).incarnation
        assert row is not None
        assert (row.values["holds"], row.values["incarnation"]) == ("bound", incarnation)
        assert (await world.app.service.get(name)).connection.state is State.CONNECTED


async def test_clients_that_disconnect_and_connect_never_revive_a_tombstone(twin: World) -> None:
    projects = [f"p{n}" for n in range(4)]
    for name in projects:
        await twin.project(name, documents=(), pages=2)
    await twin.connect("p0")

    async def leave() -> None:
        await twin.start().service.disconnect("p0", "news", True, "lead", new_job())

    async def come(name: str) -> None:
        with pytest.raises(Conflict):
            await twin.start().service.connect(name, twin.bond(), "lead", new_job())

    await asyncio.gather(leave(), *(come(name) for name in projects[1:] * 5))
    await twin.drive("p0")
    assert await pairs(twin, projects) == {}
    for name in projects:
        with pytest.raises(Conflict, match="never be connected again"):
            await twin.connect(name)


async def test_labels_saved_through_fifty_switches_are_neither_lost_nor_in_both_sets(twin: World) -> None:
    """Clients here and a tool there write as fast as they may, each its own documents, each value once."""
    locations = [f"{n}.txt" for n in range(CLIENTS)]
    project = await twin.project(documents=(*locations, "there.txt"), pages=8)
    await twin.connect()
    documents = await twin.read(project)
    acknowledged: dict[str, str] = {}
    refused = over = 0
    process = twin.start()

    async def client(location: str) -> None:
        nonlocal refused
        count = 0
        while not over:
            count += 1
            value = Labels((f"{'AB'[count % 2]}",))
            try:
                await process.documents.set_labels("p", documents[location].id, ANY, value, location)
                acknowledged[location] = value.categories[0]
            except (LabelingLocked, StaleDocument):
                refused += 1
            await asyncio.sleep(0)

    async def switches() -> None:
        nonlocal over
        for turn in range(50):
            await process.service.switch("p", LS if turn % 2 else AML, "lead", new_job())
            await twin.drive()
            if turn % 2 == 0:  # labeling is there now: what was acknowledged here was handed over whole
                there = await twin.file()
                assert {k: v for k, v in there.items() if k in acknowledged} == acknowledged
                assert (await twin.labels()) | {"there.txt": None} == {
                    **dict.fromkeys([*locations, "there.txt"]),
                    **acknowledged,
                }
                assert await twin.write_file({**there, "there.txt": "A"})
            await asyncio.sleep(0)
        over = 1

    await asyncio.gather(switches(), *(client(location) for location in locations))
    assert {k: v for k, v in (await twin.labels()).items() if k in acknowledged} == acknowledged
    assert len(acknowledged) == CLIENTS
    assert refused > 0, "the race was run"


def message(project: Project, job_id: str) -> JobMessage:
    return JobMessage(project=project.name, incarnation=project.incarnation, kind="connection", job=job_id)


async def test_four_workers_on_one_connection_do_each_step_once(twin: World) -> None:
    await twin.project()
    await twin.connect()
    project = await twin.app.stores.directory.read("p")
    order = Order(new_job(), "lead", twin.clock())
    await twin.app.service._begin(project, order, lambda now, at: switch(now, AML, at))
    before = len(await twin.app.service.history("p"))
    workers = [twin.start().service for _ in range(4)]
    for _ in range(20):
        await asyncio.gather(*(w.run(message(project, order.job_id)) for w in workers))
        twin.clock.pass_(21)
    steps = len(await twin.app.service.history("p")) - before
    assert steps == len(COURSES[Course.TO_AML]), "one transition a step"
    job = await twin.app.service.job("p", order.job_id)
    assert (await twin.app.service.job("p", job.id)).status == "succeeded"
    with pytest.raises(LabelbridgeError):
        await twin.label("a.txt", "A")
