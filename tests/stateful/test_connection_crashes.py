"""For every storage call and every call to Azure of every operation: a crash before it and after it, then resume.

The end must be the same as without a crash. A crash ends the process: the next one has fresh caches and waits until
the lease of the crashed one has expired.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from shared.connection.binding import Binding, StudioKind
from shared.connection.service import ConnectionService
from shared.connection.studios.arm import Answer, Arm, ArmOptions
from shared.connection.studios.azure_ml import AzureMlOptions, AzureMlStudio
from shared.connection.studios.base import LabelBlobs
from shared.domain.errors import LabelbridgeError
from shared.domain.jobs import JobKind
from shared.domain.names import ProjectKind
from tests.fakes.arm import STORAGE, FakeArm, workspace_id
from tests.fakes.entra import StaticToken
from tests.fakes.server import serve
from tests.stateful.connection_world import AML, LS, World, new_job
from tests.support.services import result_json
from tests.support.storage.faults import Crash, Faults, crash_points
from tests.support.storage.memory import FULL_PAGES, MemoryStorage

type Act = Callable[[ConnectionService, World, str], Awaitable[object]]
CALLER = StaticToken("lead")


async def connect(service: ConnectionService, world: World, job: str) -> object:
    return await service.connect("p", world.binding(), "lead", job)


async def refused(service: ConnectionService, world: World, job: str) -> object:
    return await service.connect("p", Binding(world.binding().studio, "none", "news"), "lead", job)


async def to_aml(service: ConnectionService, world: World, job: str) -> object:
    return await service.switch("p", AML, "lead", job)


async def to_ls(service: ConnectionService, world: World, job: str) -> object:
    return await service.switch("p", LS, "lead", job, CALLER)


async def sync(service: ConnectionService, world: World, job: str) -> object:
    return await service.sync("p", "lead", job)


async def disconnect(service: ConnectionService, world: World, job: str) -> object:
    return await service.disconnect("p", "news", True, "lead", job)


async def nothing(world: World) -> None: ...


async def connected(world: World) -> None:
    await world.connect()
    await world.label("b.txt", "B")


async def labeled_there(world: World) -> None:
    await connected(world)
    await world.switch(AML)
    await world.write_file({"a.txt": "B", "c.txt": "New"}, extra=b"{bad\n")


OPERATIONS: dict[str, tuple[Callable[[World], Awaitable[None]], Act]] = {
    "connect": (nothing, connect),
    "connect, refused": (nothing, refused),
    "switch to AML": (connected, to_aml),
    "switch back": (labeled_there, to_ls),
    "sync": (labeled_there, sync),
    "disconnect": (connected, disconnect),
    "disconnect from AML": (labeled_there, disconnect),
}


async def ready(before: Callable[[World], Awaitable[None]]) -> World:
    world = await World(MemoryStorage(page_sizes=FULL_PAGES), prefix="crash").prepare()
    await world.project(kind=ProjectKind.SINGLE_LABEL, pages=3)
    await world.label("a.txt", "A")
    await before(world)
    return world


async def act_and_die(world: World, act: Act, job: str, faults: Faults) -> None:
    """Command it and drive it, in a process that may die on the way."""
    process = world.start(faults)
    try:
        await act(process.service, world, job)
        await world.drive()
    except Crash:
        return


async def resume(world: World, act: Act, job: str) -> None:
    """A new process; the caller asks again with the same key, then the sweep finds what is left."""
    world.start()
    world.clock.pass_(21)
    with suppress(LabelbridgeError):  # what it began is at its end, or another lease has not expired
        await act(world.app.service, world, job)
    await world.drive()
    await world.app.service.sweep()
    await world.drive()


async def picture(world: World) -> dict[str, Any]:
    """Everything that outlives a process and that anyone can tell apart."""
    project = await world.app.stores.directory.read("p")
    connection = (await world.app.service.get("p")).connection
    jobs = await world.app.stores.jobs.list(project.incarnation, JobKind.CONNECTION)
    steps = [entry.transition.next_step for entry in await world.app.connections.log(project.incarnation)]
    tombstones = [
        blob.name
        for name in await world.storage.blobs.list_containers(f"{world.prefix}-tombstones")
        async for page in world.storage.blobs.list(name)
        for blob in page
    ]
    return {
        "state": (connection.state, connection.active, connection.step, connection.binding, connection.error),
        "project": (
            project.active_studio,
            project.aml_project_path,
            project.lock is None,
            project.category_names,
        ),
        "writable": await here_is_open(world),
        "ours": await world.labels(),
        "theirs": await world.labels(studio=AML),
        "jobs": sorted(
            str((j.status, result_json(j).get("documentsImported"), len(j.errors), len(j.warnings)))
            for j in jobs
        ),
        "tombstones": tombstones,
        "steps": steps,
    }


async def here_is_open(world: World) -> bool:
    project = await world.app.stores.directory.read("p")
    pages = await world.app.stores.pages.load_range(project.scope, 0, project.pages)
    return not any(page.fenced(project.released) for page in pages.values())


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_crash_at_any_storage_call_ends_as_without(name: str) -> None:
    before, act = OPERATIONS[name]
    job = new_job()
    prepared = await ready(before)
    world = prepared.copy()
    counted = Faults()
    await act_and_die(world, act, job, counted)
    expected, lease = await picture(world), await leased(world)
    assert expected["state"][2] is None
    assert len(counted.calls) > 10
    for plan in crash_points(len(counted.calls)):
        world = prepared.copy()
        faults = Faults(plan)
        await act_and_die(world, act, job, faults)
        try:
            await resume(world, act, job)
        except AssertionError as stuck:
            raise AssertionError(
                f"{faults.calls[-1]}: {(await world.app.service.get('p')).connection}"
            ) from stuck
        found = await picture(world)
        assert {**found, "steps": None} == {**expected, "steps": None}, faults.calls[-1]
        assert await leased(world) == lease, faults.calls[-1]
        assert _without_repeats(found["steps"]) == _without_repeats(expected["steps"]), faults.calls[-1]


def _without_repeats(steps: list[Any]) -> list[Any]:
    return [step for at, step in enumerate(steps) if at == 0 or steps[at - 1] != step]


async def leased(world: World) -> tuple[bool, bool]:
    info = await world.storage.blobs.stat(world.labeling, "news/labels.jsonl")
    return info is not None, info is not None and info.leased


class DyingArm(Arm):
    """A client whose process dies before or after its nth call."""

    def __init__(self, address: str) -> None:
        super().__init__(StaticToken("app"), ArmOptions(endpoint=address, timeout=60, retries=0))
        self.calls = 0
        self.dies: tuple[int, str] | None = None

    async def _send(self, client: Any, method: str, path: str, version: Any, **more: Any) -> Answer:
        number = self.calls
        self.calls += 1
        if self.dies == (number, "before"):
            raise Crash("before")
        answer = await super()._send(client, method, path, version, **more)
        if self.dies == (number, "after"):
            raise Crash("after")
        return answer


@asynccontextmanager
async def azure() -> AsyncIterator[tuple[World, FakeArm, DyingArm]]:
    storage = MemoryStorage(page_sizes=FULL_PAGES)

    async def write(container: str, name: str, data: bytes) -> None:
        await storage.blobs.create_container(container)
        await storage.blobs.write(container, name, data)

    fake = FakeArm(write)
    fake.grant()
    fake.permissions = {"lead": [{"actions": ["*"]}]}
    async with serve(fake.app()) as address:
        fake.address = address
        arm = DyingArm(address)
        studio = AzureMlStudio(arm, LabelBlobs(storage.blobs), AzureMlOptions(STORAGE))
        world = await World(storage, studio, prefix="crash").prepare()
        world.binding = lambda name="news": Binding(StudioKind.AZURE_ML, workspace_id(), name)  # type: ignore[method-assign]
        await world.project(pages=3)
        await world.label("a.txt", "A")
        yield world, fake, arm
        await arm.close()


def people_label(world: World, fake: FakeArm) -> None:
    datastore = next(path.rsplit("/", 1)[1] for path in fake.resources if "/datastores/labelbridge_" in path)
    for location, label in (("a.txt", "B"), ("c.txt", "A")):
        fake.label("news", location, label, datastore)


async def prepare_azure(name: str, world: World, fake: FakeArm) -> None:
    if name != "connect":
        await world.connect()
    if name in {"switch back", "sync", "disconnect from AML"}:
        await world.switch(AML)
        people_label(world, fake)
    fake.pausing, fake.resuming, fake.birth = (
        ["Queued", "Paused"],
        ["Queued", "Running"],
        ["Preparing", "Running"],
    )
    fake.export_polls = 1


async def azure_picture(world: World, fake: FakeArm) -> dict[str, Any]:
    job, project = fake.job("news"), await world.app.stores.directory.read("p")
    tags = {key: value == project.incarnation for key, value in job.body["tags"].items()}
    return {**await picture(world), "steps": None, "azure": (job.path[-1], tags, len(fake.jobs))}


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "connect, refused"])
async def test_a_crash_at_any_call_to_azure_ends_as_without(name: str) -> None:
    act, job = OPERATIONS[name][1], new_job()
    async with azure() as (world, fake, arm):
        await prepare_azure(name, world, fake)
        arm.calls = 0
        await act_and_die(world, act, job, Faults())
        calls, expected = arm.calls, await azure_picture(world, fake)
        assert expected["state"][2] is None
        assert expected["state"][4] is None
        assert calls >= 2
    for number in range(calls):
        for moment in ("before", "after"):
            async with azure() as (world, fake, arm):
                await prepare_azure(name, world, fake)
                arm.calls, arm.dies = 0, (number, moment)
                await act_and_die(world, act, job, Faults())
                arm.dies = None
                await resume(world, act, job)
                assert await azure_picture(world, fake) == expected, (number, moment)
