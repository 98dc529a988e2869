"""When the models of earlier fits are deleted."""

from dataclasses import replace
from itertools import count

import pytest

from shared.domain.autolabel import LastFit
from shared.domain.jobs import AutolabelParameters, FitParameters, Job, JobKind, JobSource, JobStatus
from shared.domain.project import ProjectSettings
from shared.engines.azure_openai.engine import AzureOpenAIEngine, OpenAIOptions
from shared.services.jobs.lifecycle import JobMessage, parse
from shared.services.projects.service import ProjectPatch
from shared.storage.gateways.ports import StorageUnavailable
from tests.support.engines import NAME
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
async def app() -> Life:
    clock = Clock()
    app = living(MemoryStorage(clock=clock), clock)
    await app.create(on_upload=False)
    await app.define("Refund")
    await app.fit()
    return app


async def _fit_again(app: Life, number: int) -> LastFit:
    """With another label."""
    name = f"{number}.txt"
    await app.upload({name: "text"}, events=False)
    await app.container.registering.scan(app.name, f"scan-{number}")
    await app.drain()
    await app.label(name, "Refund")
    await app.fit()
    return await _last_fit(app)


async def _last_fit(app: Life) -> LastFit:
    project = await app.container.projects.get(app.name)
    last = await app.container.stores.fits.last(project.incarnation, NAME)
    assert last is not None
    return last


async def _models(app: Life) -> list[str]:
    container = app.container.stores.names.container
    blobs = [blob.name async for page in app.blobs.list(container) for blob in page]
    return sorted(name for name in blobs if "/fitted/" in name)


async def test_models_that_later_fits_replaced_are_deleted(app: Life) -> None:
    for number in range(3):
        last = await _fit_again(app, number)
        assert await _models(app) == sorted([last.artifact, last.former])


async def test_a_replaced_model_that_a_job_uses_is_deleted_by_the_next_fit_after_the_job(app: Life) -> None:
    used = (await _last_fit(app)).artifact
    project, jobs = await app.container.projects.get(app.name), app.container.stores.jobs
    parameters = AutolabelParameters(None, JobSource.HTTP, NAME, artifact=used)
    job = Job.new(JobKind.AUTOLABEL, "job", project, app.container.stores.clock(), parameters)
    job, _ = await jobs.create(replace(job, status=JobStatus.RUNNING))
    for number in range(2):
        await _fit_again(app, number)
    last = await _fit_again(app, 2)
    assert last.in_use == (used,)
    assert await _models(app) == sorted([last.artifact, last.former, used])

    await jobs.save(replace(job, status=JobStatus.SUCCEEDED))
    last = await _fit_again(app, 3)
    assert last.in_use == ()
    assert await _models(app) == sorted([last.artifact, last.former])


async def test_a_replaced_model_that_cannot_be_deleted_is_deleted_by_the_next_fit(
    app: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The fit is kept."""
    former = await _fit_again(app, 0)

    async def fails(name: str) -> None:
        raise StorageUnavailable(name)

    with monkeypatch.context() as outage:
        outage.setattr(app.container.stores.artifacts, "delete", fails)
        last = await _fit_again(app, 1)
    assert (last.former, last.in_use) == (former.artifact, (former.former,))
    assert "could not be deleted" in caplog.text

    last = await _fit_again(app, 2)
    assert last.in_use == ()
    assert await _models(app) == sorted([last.artifact, last.former])


async def test_a_fit_that_cannot_be_noted_releases_its_lease(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = app.container.stores.fits.save
    failed = list[str]()

    async def fails_once(incarnation: str, engine: str, fit: LastFit) -> LastFit:
        if not failed:
            failed.append(engine)
            raise StorageUnavailable(engine)
        return await save(incarnation, engine, fit)

    monkeypatch.setattr(app.container.stores.fits, "save", fails_once)
    before = await _last_fit(app)
    with pytest.raises(StorageUnavailable):
        await _fit_again(app, 0)
    await app.fit()
    assert (await _last_fit(app)).former == before.artifact


SERVICE = AzureOpenAIEngine(OpenAIOptions("http://localhost/v1", "secret", "model"), lambda: None)  # type: ignore[arg-type,return-value]


async def _prepare(app: Life, *categories: str, asking: Job | None = None) -> str:
    """For a job on these categories, which makes another model."""
    project = await app.container.stores.directory.read(app.name)
    return await app.container.model_cache.prepare(project, SERVICE, categories, asking)


async def _last_service(app: Life) -> LastFit:
    project = await app.container.projects.get(app.name)
    last = await app.container.stores.fits.last(project.incarnation, SERVICE.name)
    assert last is not None
    return last


async def test_two_instances_that_prepare_a_service_at_once_forget_no_model() -> None:
    for number in count():
        clock = Clock()
        storage = MemoryStorage(clock=clock)
        app, other = living(storage, clock), living(storage, clock)
        await app.create(on_upload=False)
        await app.define("Refund", "Login")
        await _prepare(app, "Refund")
        meanwhile = Meanwhile(None, lambda other=other: _prepare(other, "Login"))
        racing = living(storage, clock, faults=meanwhile)
        meanwhile.number = number
        await _prepare(racing, "Refund", "Login")
        last = await _last_service(app)
        assert set(await _models(app)) <= {last.artifact, last.former, *last.in_use}
        await _prepare(app, "Refund" if number % 2 else "Login")
        last = await _last_service(app)
        assert await _models(app) == sorted([last.artifact, last.former])
        if not meanwhile.done:
            assert number > 5
            return


async def test_a_model_stays_while_a_job_that_may_use_it_is_planned(app: Life) -> None:
    await app.define("Login")
    jobs, project = app.container.stores.jobs, await app.container.projects.get(app.name)
    other = Job.new(
        JobKind.AUTOLABEL, "other", project, app.container.stores.clock(), AutolabelParameters(None)
    )
    other, _ = await jobs.create(other)
    asking, _ = await jobs.create(replace(other, id="asking", etag=""))
    [fitted] = await _models(app)
    made = [
        await _prepare(app, *names, asking=asking) for names in (("Refund",), ("Login",), ("Refund", "Login"))
    ]
    assert await _models(app) == sorted([fitted, *made])

    await jobs.save(replace(other, status=JobStatus.FAILED))
    made.append(await _prepare(app, "Refund", asking=asking))
    assert await _models(app) == sorted([fitted, made[2], made[3]])


async def _fit_in_another_process(other: Life, location: str) -> None:
    """With another label; the process dies before it plans what waited, and the plan that the fit requests is late."""
    await other.label(location, "Refund")
    project, stores = await other.container.projects.get(other.name), other.container.stores
    job = Job.new(JobKind.FIT, f"fit-{location}", project, stores.clock(), FitParameters(NAME))
    await stores.jobs.create(job)
    await other.container.planner.fits.run(JobMessage.of(job))


async def _deliver_twice(worker: Life) -> None:
    while worker.sent.waiting:
        message = parse(worker.sent.waiting.popleft()[1])
        for _ in range(2):
            await worker.container.dispatcher.run_or_retry(message)


async def test_a_job_whose_trained_model_was_deleted_says_so(app: Life) -> None:
    await app.upload({f"{n}.txt": "text" for n in range(4)})
    await app.drain()
    for n in range(4):
        await app.label(f"{n}.txt", "Refund")
    await app.train("m")
    await app.drain()
    await app.upload({"a.txt": "@Refund:73"})
    await app.drain()
    await app.planned("job", model_label="m")
    await app.container.trained_models.delete(app.name, "m")
    while app.sent.waiting:
        await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))
    job = await app.job(JobKind.AUTOLABEL, "job")
    assert job.status is JobStatus.FAILED
    assert job.errors[0].message.endswith("The model of the job no longer exists.")


@pytest.mark.parametrize("requested", [False, True])
async def test_a_job_whose_model_was_deleted_while_it_was_planned_uses_the_current_one(
    *, requested: bool
) -> None:
    """Two fits end before any call of the plan; so also between the choice of the model and the write of the job."""
    gone = 0
    for number in count():
        clock = Clock()
        storage = MemoryStorage(clock=clock)
        other, worker = living(storage, clock), living(storage, clock)

        async def two_fits(other: Life = other) -> None:
            for location in ("0.txt", "1.txt"):
                await _fit_in_another_process(other, location)

        meanwhile = Meanwhile(None, two_fits)
        app = living(storage, clock, faults=meanwhile)
        await app.create(on_upload=False)
        await app.define("Refund")
        await app.upload({"0.txt": "text", "1.txt": "text"})
        await app.drain()
        await app.fit()
        first = (await _last_fit(app)).artifact
        if not requested:
            await app.container.projects.put(app.name, ProjectPatch(settings=_on_upload))
        await app.upload({"a.txt": "@Refund:73"})
        if requested:
            await app.drain()
        meanwhile.number = len(meanwhile.calls) + number
        if requested:
            await app.planned("job")
        else:
            await app.deliver(*app.sent.waiting.popleft())
        jobs = [job for job in await app.jobs() if job.parameters_as(AutolabelParameters).artifact == first]
        gone += bool(jobs) and not await app.container.stores.artifacts.exists(first)
        worker.sent.waiting.extend(app.sent.waiting)
        await _deliver_twice(worker)
        assert await worker.pending("a.txt") == ["Refund"], number
        assert {job.status for job in await worker.jobs()} == {JobStatus.SUCCEEDED}
        rows = await worker.rows()
        for job in jobs:  # as another batch read it, which ran at the same time
            await worker.container.planner.renew_model(job)
        assert await worker.rows() == rows
        if not meanwhile.done:
            break
    assert gone


def _on_upload(settings: ProjectSettings) -> ProjectSettings:
    return replace(settings, autolabel=replace(settings.autolabel, on_upload=True))
