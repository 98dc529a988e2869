"""Two instances that plan a project at the same time: no document is read or predicted twice (rules A1, A8)."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import override

import pytest

from shared.domain.document import document_id
from shared.domain.jobs import JobSource
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind, random_job_id
from shared.domain.page import page_of
from shared.domain.project import AutolabelSettings, ProjectSettings
from shared.engines.base import Model
from shared.services.jobs.lifecycle import PlanMessage
from shared.storage.gateways.ports import BlobContent
from tests.support.engines import ScriptedEngine, ScriptedModel
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock
from tests.support.storage.faults import Crash, Faults, crash_at
from tests.support.storage.memory import MemoryStorage

TEXT = "@Refund:73 please"
predicted: Counter[str] = Counter()


class _Model(ScriptedModel):
    @override
    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        predicted.update(texts)
        return await super().predict(texts)


class _Engine(ScriptedEngine):
    @override
    async def load(self, artifact: bytes) -> Model:
        return _Model(ProjectKind(artifact.decode()))


class World:
    """One account, instances over it, and the reads of each blob."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.storage = MemoryStorage(clock=self.clock)
        self.reads: Counter[str] = Counter()
        read = self.storage.blobs.read

        async def counted(container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
            if container == "docs":
                self.reads[name] += 1
            return await read(container, name, max_bytes=max_bytes)

        monkeypatch.setattr(self.storage.blobs, "read", counted)
        predicted.clear()

    def instance(self, faults: Faults | None = None) -> Life:
        # A window keeps plans of one instance from following each other without a pause.
        return living(self.storage, self.clock, engine=_Engine, faults=faults, collect_window_seconds=300)

    async def fitted(self) -> PlanMessage:
        """A project with a model, and a plan of it."""
        app = living(self.storage, self.clock, engine=_Engine)
        project = await app.create()
        await app.define("Refund")
        await app.fit()
        self.reads.clear()
        predicted.clear()
        return PlanMessage(project="p", incarnation=project.incarnation, id=random_job_id())

    def expect_once(self, texts: dict[str, str]) -> None:
        assert self.reads == Counter(dict.fromkeys(texts, 1))
        assert predicted == Counter(texts.values())


type Plan = Callable[[Life], Awaitable[None]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def _planning(message: PlanMessage) -> Plan:
    async def plan(app: Life) -> None:
        await app.container.dispatcher.run(message.model_copy(update={"id": random_job_id()}))

    return plan


async def _drain(*apps: Life) -> None:
    """All messages, in turns: a plan that finds work of another instance is repeated until that is done."""
    while any(app.sent.waiting for app in apps):
        for app in apps:
            if app.sent.waiting:
                await app.deliver(*app.sent.waiting.popleft())


async def _expect_pages_once(app: Life) -> None:
    jobs = [job for job in await app.jobs() if not job.status.ended]
    pages = Counter(n for job in jobs for batch in job.batches for n in range(batch.low, batch.high))
    assert set(pages.values()) == {1}, "two batches have a page"


async def _each_call(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[World], Awaitable[tuple[dict[str, str], Plan]]]
) -> AsyncGenerator[tuple[World, Life, Life, dict[str, str], Plan]]:
    """An instance plans, and before its n-th call another one does, for each n."""
    for number in count():
        with monkeypatch.context() as patch:
            world = World(patch)
            texts, plan = await begin(world)
            second = world.instance()
            meanwhile = Meanwhile(None, lambda plan=plan, second=second: plan(second))
            first = world.instance(meanwhile)
            meanwhile.number = number
            await plan(first)
            if not meanwhile.done:
                assert number > 5
                return
            yield world, first, second, texts, plan


async def _uploaded(world: World) -> tuple[dict[str, str], Plan]:
    message = await world.fitted()
    texts = {f"{n}.txt": f"{TEXT} {n}" for n in range(12)}
    await world.instance().upload(texts)
    return texts, _planning(message)


async def _waiting(world: World) -> tuple[dict[str, str], Plan]:
    """Documents that were registered while uploads were not labeled."""
    app = living(world.storage, world.clock, engine=_Engine)
    project = await app.create(on_upload=False)
    await app.define("Refund")
    await app.fit()
    texts = {f"{n}.txt": f"{TEXT} {n}" for n in range(12)}
    await _begin_to_wait(world, app, texts)
    return texts, _planning(PlanMessage(project="p", incarnation=project.incarnation, id="plan"))


async def _begin_to_wait(world: World, app: Life, texts: dict[str, str]) -> None:
    for on in (False, True):
        settings = ProjectSettings(autolabel=AutolabelSettings(on_upload=on))
        await app.container.stores.directory.update("p", partial(replace, settings=settings))
        if not on:
            await app.upload(texts)
            await app.drain()
    world.reads.clear()
    predicted.clear()


async def test_uploads_that_two_instances_plan_are_in_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    async for world, first, second, texts, _ in _each_call(monkeypatch, _uploaded):
        await _expect_pages_once(first)
        await _drain(first, second)
        world.expect_once(texts)


async def test_documents_that_waited_are_in_one_job_of_two_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    async for world, first, second, texts, plan in _each_call(monkeypatch, _waiting):
        assert sum(job.source is JobSource.WAITING for job in await first.jobs()) == 1
        await plan(first)  # and while that job runs
        assert sum(job.source is JobSource.WAITING for job in await first.jobs()) == 1
        await _drain(first, second)
        world.expect_once(texts)


async def test_no_batch_of_documents_that_began_to_wait_later_spans_one_that_still_runs(world: World) -> None:
    """It would read and predict the documents of that batch, too."""
    texts, plan = await _waiting(world)
    first, second = world.instance(), world.instance()
    await plan(first)
    [batch] = next(job for job in await first.jobs() if job.source is JobSource.WAITING).batches
    pages = (await first.container.projects.get("p")).pages
    numbers = {f"later-{n}.txt": page_of(document_id(f"later-{n}.txt"), pages) for n in range(1_000)}
    before = next(name for name, page in numbers.items() if page < batch.low)
    after = next(name for name, page in numbers.items() if page >= batch.high)
    later = {name: f"{TEXT} {name}" for name in (before, after)}
    await _begin_to_wait(world, second, later)

    await plan(second)
    await _expect_pages_once(first)
    await _drain(first, second)
    world.expect_once(texts | later)


@pytest.mark.parametrize("begin", [_uploaded, _waiting])
async def test_an_instance_that_dies_while_it_plans_blocks_no_other(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[World], Awaitable[tuple[dict[str, str], Plan]]]
) -> None:
    for number in count():
        with monkeypatch.context() as patch:
            world = World(patch)
            texts, plan = await begin(world)
            faults = Faults(crash_at(number, "after"))
            with suppress(Crash):
                await plan(world.instance(faults))
            other = world.instance()
            world.clock.move(60)
            await plan(other)
            await other.container.maintenance.sweep(everything=True)  # sends what a dead process did not
            await _drain(other)
            world.expect_once(texts)
        if not faults.crashed:
            assert number > 5
            return
