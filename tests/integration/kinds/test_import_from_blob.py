"""The import of a project file from a blob: the request only notes it, and the job reads it."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from shared.domain.errors import Conflict, InvalidArgument, ProjectNotFound, TooLarge
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.transfers import ImportParameters
from shared.services.jobs.lifecycle import JobMessage
from shared.services.project_files import imports
from shared.services.training.service import TrainRequest
from shared.storage import page_codec
from shared.storage.gateways.ports import Value
from tests.integration.kinds.files import project_file
from tests.integration.kinds.test_import_crashes import go_on
from tests.support.api import SINGLE, Json
from tests.support.lives import Life, living
from tests.support.services import Clock
from tests.support.storage.faults import Crash, Faults, crash_points
from tests.support.storage.memory import MemoryStorage

FILE = project_file(SINGLE, "docs", 9, "new-")


async def put(app: Life, file: Json | str, name: str = "p.json") -> None:
    await app.blobs.create_container("docs")
    text = file if isinstance(file, str) else json.dumps(file)
    await app.blobs.write("docs", name, text.encode())


async def start(app: Life, container: str = "docs", blob: str = "p.json") -> Job:
    return await app.container.imports.start_from_blob("p", container, blob, "tester", "job")


async def imported(app: Life) -> Job:
    """The job of the import, when its messages are done."""
    await start(app)
    await app.drain()
    return await app.container.stores.jobs.get("", JobKind.IMPORT, "job")


async def content(app: Life) -> list[str] | None:
    """Locations of the labeled documents; None without a project."""
    try:
        project = await app.container.projects.get("p")
    except ProjectNotFound:
        return None
    pages = app.container.stores.pages.scan(project.scope)
    return sorted([d.location async for page in pages for d in page.documents.values() if d.labels])


def expected() -> list[str]:
    return sorted(entry["location"] for entry in FILE["assets"]["documents"] if "class" in entry)


async def left_over(app: Life) -> list[str]:
    """Files of imports that are still stored."""
    names = app.container.stores.names
    await app.blobs.create_container(names.container)
    return [blob.name async for page in app.blobs.list(names.container, prefix="imports/") for blob in page]


async def test_the_request_reads_nothing_of_the_file(app: Life, monkeypatch: pytest.MonkeyPatch):
    await put(app, "this is no JSON")
    monkeypatch.setattr(app.blobs, "stream_read", None)
    job = await start(app)
    assert (job.status, job.errors) == (JobStatus.NOT_STARTED, ())
    assert len(app.sent.waiting) == 1


async def test_the_job_imports_the_file_and_leaves_no_copy_of_it(app: Life):
    await put(app, FILE | {"metadata": FILE["metadata"] | {"settings": {"autolabel": {"engine": "gone"}}}})
    job = await imported(app)
    assert (job.status, job.errors) == (JobStatus.SUCCEEDED, ())
    assert [warning.target for warning in job.warnings] == ["metadata.settings.autolabel.engine"]
    assert await content(app) == expected()
    assert await left_over(app) == []


async def test_each_error_of_the_file_is_one_of_the_job_with_field_and_rule(app: Life):
    documents = [{"location": f"{n}.txt", "dataset": "Half"} for n in range(150)]
    await put(app, FILE | {"assets": FILE["assets"] | {"documents": documents}})
    job = await imported(app)
    assert job.status is JobStatus.FAILED
    assert [error.target for error in job.errors[:2]] == [
        "assets.documents[0].dataset",
        "assets.documents[1].dataset",
    ]
    assert job.errors[0].message == "'dataset' must be 'Train' or 'Test', not 'Half'."
    assert (len(job.errors), job.errors[-1].message) == (101, "... and 50 more errors.")
    assert await content(app) is None
    assert await left_over(app) == []


@pytest.mark.parametrize(
    ("file", "code", "message"),
    [
        ("this is no JSON", "InvalidRequest", "A project file must be a JSON object."),
        (project_file(SINGLE, "other", 1), "InvalidArgument", "The project file must be in the container that it"),
        (project_file(SINGLE, "labelbridge", 1), "InvalidArgument", "The container 'labelbridge' is reserved"),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_imported_ends_its_job(
    app: Life, file: Json | str, code: str, message: str
):
    await put(app, file)
    job = await imported(app)
    assert (job.status, [error.code for error in job.errors]) == (JobStatus.FAILED, [code])
    assert job.errors[0].message.startswith(message)


async def test_what_can_be_known_without_the_file_is_refused_at_once(
    app: Life, monkeypatch: pytest.MonkeyPatch
):
    await put(app, FILE)
    for container, blob in (("docs", "nothing"), ("nowhere", "p.json"), ("labelbridge", "p.json")):
        with pytest.raises(InvalidArgument, match="does not exist"):
            await start(app, container, blob)
    monkeypatch.setattr(imports, "MAX_BLOB", 100)
    with pytest.raises(TooLarge, match="at most 100 are allowed"):
        await start(app)
    monkeypatch.undo()
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.container.training.start("p", TrainRequest("m1"), "train")
    with pytest.raises(Conflict, match="training"):
        await start(app)


async def test_a_blob_that_is_changed_after_the_request_is_not_imported(app: Life):
    await put(app, FILE)
    await start(app)
    await put(app, project_file(SINGLE, "docs", 9, "other-"))
    await app.drain()
    job = await app.container.stores.jobs.get("", JobKind.IMPORT, "job")
    assert (job.status, job.errors[0].target) == (JobStatus.FAILED, "projectFile")
    assert "changed after the import was requested" in job.errors[0].message
    assert await content(app) is None


async def test_a_blob_that_is_changed_after_it_was_copied_does_no_harm(
    app: Life, monkeypatch: pytest.MonkeyPatch
):
    await put(app, FILE)
    await start(app)
    [(_, message)] = app.sent.waiting

    async def die(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(imports.ImportService, "_import", die)
        with pytest.raises(Crash):
            await app.container.imports.run(JobMessage.model_validate_json(message))
    await put(app, "this is no JSON")
    await app.drain()
    job = await app.container.stores.jobs.get("", JobKind.IMPORT, "job")
    assert job.parameters_as(ImportParameters).source is None
    assert (job.status, await content(app)) == (JobStatus.SUCCEEDED, expected())


async def test_a_process_reads_one_file_at_a_time(app: Life, clock: Clock):
    await put(app, FILE)
    await start(app)
    async with app.container.imports.reading:  # another import in this process
        [(queue, message)] = app.sent.waiting
        app.sent.waiting.clear()
        await app.deliver(queue, message)
        assert [name for name, _ in app.sent.waiting] == [queue]
        assert await content(app) is None
    clock.move(imports.TURN_SECONDS)
    await app.drain()
    assert await content(app) == expected()


async def test_others_get_their_turn_between_pages(app: Life, monkeypatch: pytest.MonkeyPatch):
    """Encoding a thousand pages takes seconds, in which no request would be answered."""
    documents = [{"location": f"{n}.txt", "language": "de", "dataset": "Train"} for n in range(40)]
    await put(app, FILE | {"assets": FILE["assets"] | {"documents": documents}})
    turns = 0
    encoded_at: list[int] = []
    encode = page_codec.encode_page

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def noted(*arguments: Any) -> dict[str, Value]:
        encoded_at.append(turns)
        return await encode(*arguments)

    monkeypatch.setattr(page_codec, "encode_page", noted)
    await start(app)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        await app.drain()
        task.cancel()
    assert len(encoded_at) > 30
    assert len(set(encoded_at[:30])) == 30, "the pages of the import come first"


async def test_the_import_goes_on_wherever_its_worker_dies(clock: Clock):
    async def dying(faults: Faults) -> int:
        storage = MemoryStorage(clock=clock)
        first = living(storage, clock)
        await put(first, FILE)
        await start(first)
        message = JobMessage(project="p", incarnation="-", kind=JobKind.IMPORT, job="job")
        with suppress(Crash):
            await living(storage, clock, faults=faults).container.imports.run(message)
        where = faults.calls[-1]
        assert await content(living(storage, clock)) in (None, expected()), where
        repaired = living(storage, clock)
        await repaired.container.imports.run(message)  # the queue delivers it again
        await go_on(repaired, clock)
        job = await repaired.container.stores.jobs.get("", JobKind.IMPORT, "job")
        assert (job.status, job.errors) == (JobStatus.SUCCEEDED, ()), where
        assert await content(repaired) == expected(), where
        assert await left_over(repaired) == [], where
        return len(faults.calls)

    calls = await dying(Faults())
    for plan in crash_points(calls):
        await dying(Faults(plan))
