"""Two jobs on the same documents: each is predicted, and paid, once, and has an outcome in both jobs (rule A18)."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, override

import pytest

from shared.domain.document import document_id
from shared.domain.jobs import AutolabelParameters, Job, JobKind, JobSource, JobStatus
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind, random_job_id
from shared.engines.base import Model
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.lifecycle import IN_FLIGHT, BatchMessage, PlanMessage, parse
from shared.storage.gateways.ports import BlobContent
from tests.support.engines import ScriptedEngine, ScriptedModel
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock
from tests.support.storage.faults import Faults
from tests.support.storage.memory import MemoryStorage

predicted: Counter[str] = Counter()
#: In some of them nothing is found.
TEXTS = {f"{n}.txt": f"@Refund:73 please {n}" if n % 3 else f"nothing {n}" for n in range(6)}
NAMED = tuple(document_id(name) for name in TEXTS)
#: Longer than a batch waits for another one.
STEP = 30


class _Model(ScriptedModel):
    @override
    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        predicted.update(texts)
        return [
            found if "@" in text else []
            for text, found in zip(texts, await super().predict(texts), strict=True)
        ]


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
        self.incarnation = ""
        read = self.storage.blobs.read

        async def counted(container: str, name: str, *, max_bytes: int | None = None) -> BlobContent | None:
            if container == "docs":
                self.reads[name] += 1
            return await read(container, name, max_bytes=max_bytes)

        monkeypatch.setattr(self.storage.blobs, "read", counted)

    def instance(self, faults: Faults | None = None) -> Life:
        return living(self.storage, self.clock, engine=_Engine, faults=faults, collect_window_seconds=300)

    async def begin(self, texts: dict[str, str], *, waiting: bool = False) -> Life:
        """Registered documents and a model. `waiting`: for a plan of content that has got no suggestions yet."""
        app = living(self.storage, self.clock, engine=_Engine)
        project = await app.create(ProjectKind.MULTI_LABEL, on_upload=False)
        await app.define("Refund", "Login")
        await app.fit()
        await app.upload(texts)
        await app.drain()
        if waiting:
            await app.create(ProjectKind.MULTI_LABEL, on_upload=True)
            app.sent.waiting.clear()
        self.incarnation = project.incarnation
        self.reads.clear()
        predicted.clear()
        return app

    async def drain(self, *apps: Life) -> None:
        while any(app.sent.waiting for app in apps):
            for app in apps:
                if app.sent.waiting:
                    self.clock.move(STEP)
                    await app.deliver(*app.sent.waiting.popleft())

    def expect_once(self, texts: dict[str, str]) -> None:
        assert predicted == Counter(texts.values())
        assert self.reads == Counter(dict.fromkeys(texts, 1))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


type Start = Callable[[World, Life], Awaitable[None]]


async def named(world: World, app: Life) -> None:
    await app.container.autolabel.start(app.name, AutolabelRequest(documents=NAMED), random_job_id())


async def unlabeled(world: World, app: Life) -> None:
    await app.container.autolabel.start(app.name, AutolabelRequest(), random_job_id())


async def waiting(world: World, app: Life) -> None:
    message = PlanMessage(project=app.name, incarnation=world.incarnation, id=random_job_id())
    await app.container.dispatcher.run(message)


async def outcomes(app: Life) -> dict[str, list[Counter[str]]]:
    """By the source of the jobs; each must have succeeded."""
    found: dict[str, list[Counter[str]]] = {}
    for job in await app.jobs():
        assert job.status is JobStatus.SUCCEEDED, (job.source, job.errors)
        rows = await app.container.autolabel.outcomes(app.name, job.id)
        counts = Counter(row.error.code if row.error else row.outcome.value for row in rows)
        named = job.source is JobSource.HTTP and getattr(job.parameters, "documents", None) is not None
        found.setdefault("named" if named else str(job.source), []).append(counts)
    return found


async def under_way(app: Life) -> bool:
    """Whether a job has begun, and not predicted."""
    jobs, store = await app.jobs(), app.container.stores.jobs
    return any([not any(state.done for state in await store.states(job)) for job in jobs])


async def each_call(
    monkeypatch: pytest.MonkeyPatch, first: Start, second: Start
) -> AsyncGenerator[tuple[World, Life, Life]]:
    """An instance starts a job, and before its n-th call another one does: for each n at which the first has begun."""
    overlapping = 0
    for number in count():
        with monkeypatch.context() as patch:
            world = World(patch)
            await world.begin(TEXTS, waiting=waiting in {first, second})
            other, overlaps = world.instance(), list[bool]()

            async def begin(
                world: World = world, other: Life = other, overlaps: list[bool] = overlaps
            ) -> None:
                overlaps.append(await under_way(other))
                await second(world, other)

            meanwhile = Meanwhile(None, begin)
            app = world.instance(meanwhile)
            meanwhile.number = number
            await first(world, app)
            await world.drain(app, other)
            if overlaps == [True]:
                overlapping += 1
                yield world, app, other
            if not overlaps:
                assert overlapping > 10
                return


KINDS = (named, unlabeled, waiting)


@pytest.mark.parametrize(
    ("first", "second"), [(a, b) for a in KINDS for b in KINDS if (a, b) != (waiting, waiting)]
)
async def test_documents_of_two_jobs_are_predicted_once(
    monkeypatch: pytest.MonkeyPatch, first: Start, second: Start
) -> None:
    async for world, app, _ in each_call(monkeypatch, first, second):
        world.expect_once(TEXTS)
        found = await outcomes(app)
        for counts in found.get("named", ()):  # nothing is lost
            assert counts.total() == len(TEXTS)
            assert set(counts) <= {"suggested", "nothingFound", "PredictedByOtherJob"}
        made = sum((counts for each in found.values() for counts in each), Counter[str]())
        assert (made["suggested"], made["nothingFound"]) == (4, 2)


async def job_of(app: Life, job_id: str) -> tuple[Job, Counter[str]]:
    rows = await app.container.autolabel.outcomes(app.name, job_id)
    counts = Counter(row.error.code if row.error else row.outcome.value for row in rows)
    return await app.container.autolabel.get(app.name, job_id), counts


async def test_who_asks_again_later_gets_new_suggestions(world: World) -> None:
    app = await world.begin(TEXTS)
    for number in range(1, 3):
        _, counts = await job_of(app, (await app.autolabel(f"job-{number}", documents=NAMED)).id)
        assert counts == {"suggested": 4, "nothingFound": 2}
        assert set(predicted.values()) == {number}


async def planned(app: Life, job_id: str, **asked: Any) -> list[tuple[str, str]]:
    """The messages of a job that is planned, and of which nothing has run."""
    given = AutolabelParameters(None, **asked)
    project = await app.container.projects.get(app.name)
    job = Job.new(JobKind.AUTOLABEL, job_id, project, app.container.stores.clock(), given)
    job, _ = await app.container.stores.jobs.create(job)
    app.sent.waiting.clear()
    await app.container.planner.plan_job(job)
    return list(app.sent.waiting)


async def test_a_job_with_other_categories_waits_for_none(world: World) -> None:
    app = await world.begin(TEXTS)
    await planned(app, "first", documents=NAMED)
    job = await app.container.autolabel.start(
        app.name, AutolabelRequest(documents=NAMED, categories=("Refund",)), "second"
    )
    assert job.status is JobStatus.SUCCEEDED
    await world.drain(app)
    assert set(predicted.values()) == {2}


async def test_a_job_predicts_what_a_cancelled_one_did_not(world: World) -> None:
    app = await world.begin(TEXTS)
    await planned(app, "first", documents=NAMED)
    await app.container.autolabel.start(app.name, AutolabelRequest(documents=NAMED), "second")
    await app.container.autolabel.cancel(app.name, "first")
    await world.drain(app)
    job, counts = await job_of(app, "second")
    assert (job.status, counts) == (JobStatus.SUCCEEDED, {"suggested": 4, "nothingFound": 2})
    world.expect_once(TEXTS)


async def test_a_message_that_is_delivered_again_changes_nothing(world: World) -> None:
    app = await world.begin(TEXTS)
    messages = await planned(app, "first", documents=NAMED)
    await app.container.autolabel.start(app.name, AutolabelRequest(documents=NAMED), "second")
    messages += app.sent.waiting
    await world.drain(app)
    before = await app.rows()
    for message in messages * 2:
        world.clock.move(STEP)
        await app.deliver(*message)
    await world.drain(app)
    assert await app.rows() == before
    job, counts = await job_of(app, "second")
    assert (job.status, counts) == (JobStatus.SUCCEEDED, {"PredictedByOtherJob": len(TEXTS)})
    world.expect_once(TEXTS)


async def test_a_small_job_does_not_wait_for_all_of_a_large_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch of the large one that it waits for comes next."""
    texts = {f"{n}.txt": f"@Refund:73 please {n}" for n in range(40)}
    monkeypatch.setattr(_Engine, "capabilities", replace(_Engine.capabilities, batch_documents=1))
    app = await world.begin(texts)
    await planned(app, "large")
    app.sent.waiting.clear()  # its batches wait in a long queue
    large = await app.container.autolabel.get(app.name, "large")
    last = max(texts, key=document_id)
    assert len(large.batches) > IN_FLIGHT + 1
    small = AutolabelRequest(documents=(document_id(last),))
    await app.container.autolabel.start(app.name, small, "small")
    assert not predicted
    sent = [message for _, body in app.sent.waiting if isinstance(message := parse(body), BatchMessage)]
    assert (large.id, len(large.batches) - 1) in {(message.job, message.number) for message in sent}
    await world.drain(app)
    job, counts = await job_of(app, "small")
    assert (job.status, counts) == (JobStatus.SUCCEEDED, {"PredictedByOtherJob": 1})
    assert predicted == {texts[last]: 1}
