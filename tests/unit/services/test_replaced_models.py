"""When the models of earlier fits are deleted."""

from dataclasses import replace

import pytest

from shared.domain.autolabel import LastFit
from shared.domain.jobs import AutolabelParameters, Job, JobKind, JobSource, JobStatus
from shared.storage.gateways.ports import StorageUnavailable
from tests.support.engines import NAME
from tests.support.lives import Life, living
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

    async def fails_once(incarnation: str, engine: str, fit: LastFit) -> None:
        if not failed:
            failed.append(engine)
            raise StorageUnavailable(engine)
        await save(incarnation, engine, fit)

    monkeypatch.setattr(app.container.stores.fits, "save", fails_once)
    before = await _last_fit(app)
    with pytest.raises(StorageUnavailable):
        await _fit_again(app, 0)
    await app.fit()
    assert (await _last_fit(app)).former == before.artifact
