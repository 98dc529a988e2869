"""Exports and what becomes of them: blobs that are no documents, and settings that a PATCH took."""

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.errors import InvalidArgument, JobNotFound
from shared.domain.jobs import EXPIRES_AFTER, ExportResult, Job, JobKind, JobStatus
from shared.domain.names import DocumentStatus
from shared.domain.project import AutolabelSettings, ProjectSettings
from shared.services.project_files import exports
from shared.services.projects.categories import CategoryChange
from shared.wire.project_file import read_project_file
from tests.integration.kinds.files import comparable, project_file
from tests.support.api import SINGLE
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage

NO_TEXT = b"\xff\xfe\xff"


async def export(app: Life, job_id: str = "export") -> dict[str, Any]:
    await app.container.exports.start("p", job_id)
    return json.loads((await app.container.exports.result("p", job_id))[0])


async def look(app: Life) -> None:
    await app.container.registering.scan("p", f"scan-{len(app.delivered)}")
    await app.drain()


async def test_export_of_an_import_is_equal_where_blobs_are_no_documents(app: Life):
    given = project_file(SINGLE, "docs", 12)
    await app.blobs.create_container("docs")
    await app.upload(
        {document["location"]: NO_TEXT for document in given["assets"]["documents"]}, events=False
    )
    await app.container.imports.start("p", json.dumps(given).encode(), "tester", "job")
    await look(app)
    assert (await app.container.categories.statistics("p")).statuses[DocumentStatus.REJECTED] == 12
    assert comparable(await export(app), "p") == comparable(given, "p")


async def test_labels_of_content_that_became_no_document_are_exported(app: Life):
    await app.create(on_upload=False)
    texts: dict[str, str | bytes] = {"labeled.txt": "One.", "unlabeled.txt": "Two."}
    await app.upload(texts, events=False)
    await look(app)
    await app.label("labeled.txt", "Refund")
    await app.upload(dict.fromkeys(texts, NO_TEXT), events=False)
    await look(app)
    assert (await export(app))["assets"]["documents"] == [
        {
            "location": "labeled.txt",
            "language": "en-us",
            "dataset": "Train",
            "class": {"category": "Refund"},
        }
    ]


async def test_what_a_patch_takes_an_import_takes_too(app: Life):
    await app.create(
        settings=ProjectSettings(
            confidence_threshold=1.0,
            run_gpt_predictions=True,
            gpt_predictive_lookahead=100_000,
            autolabel=AutolabelSettings(on_upload=False),
        ),
    )
    before = await app.container.projects.get("p")
    file = json.dumps(await export(app)).encode()
    job = await app.container.imports.start("p", file, "tester", "job")
    assert (job.status, job.warnings) == (JobStatus.SUCCEEDED, ())
    assert (await app.container.projects.get("p")).settings == before.settings


async def test_an_engine_that_is_not_here_is_warned_of(app: Life):
    await app.blobs.create_container("docs")
    file = project_file(SINGLE, "docs", 1)
    file["metadata"]["settings"]["autolabel"]["engine"] = "elsewhere"
    job = await app.container.imports.start("p", json.dumps(file).encode(), "tester", "job")
    assert job.status is JobStatus.SUCCEEDED
    assert [warning.target for warning in job.warnings] == ["metadata.settings.autolabel.engine"]


@pytest.mark.parametrize("change", [CategoryChange("Money", renames="Refund"), CategoryChange("New")])
async def test_an_export_lists_what_its_documents_use_whenever_categories_change(
    memory: MemoryStorage, clock: Clock, change: CategoryChange
):
    """At each of its calls to storage in turn, someone renames a category, or defines one and uses it."""
    other = living(memory, clock)
    await other.create(on_upload=False, pages=8)
    await other.define("Refund", "Login", "Other")
    name = "Refund"
    for number in itertools.count():
        now = CategoryChange(f"{change.name}-{number}", renames=change.renames and name)

        async def act(now: CategoryChange = now) -> None:
            await other.container.categories.put("p", [now], "tester")
            await other.label("~Other.txt", now.name)

        faults = Meanwhile(number, act)
        app = living(memory, clock, faults=faults)
        await app.container.exports.start("p", f"export-{number}")
        if not faults.done:
            break
        name = now.name
        assets = json.loads((await other.container.exports.result("p", f"export-{number}"))[0])["assets"]
        used = {document["class"]["category"] for document in assets["documents"]}
        assert used <= {label_class["category"] for label_class in assets["classes"]}
    assert number > 5


def _small_parts(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(exports, "MAX_PART", size)


async def parts_of(app: Life, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    more = True
    while more:
        data, more = await app.container.exports.result("p", job_id, len(found))
        found.append(json.loads(data))
    return found


@pytest.mark.parametrize("size", [1, 700, 1_500, 10_000])
async def test_a_large_export_has_parts_of_a_bounded_size(
    app: Life, monkeypatch: pytest.MonkeyPatch, size: int
):
    given = project_file(SINGLE, "docs", 12)
    await app.blobs.create_container("docs")
    await app.container.imports.start("p", json.dumps(given).encode(), "tester", "job")
    whole = await export(app, "whole")
    _small_parts(monkeypatch, size)
    job = await app.container.exports.start("p", "parts")
    parts = await parts_of(app, "parts")
    assert isinstance(job.result, ExportResult)
    assert (job.result.documents, job.result.parts) == (12, len(parts))
    assert [document for part in parts for document in part["assets"]["documents"]] == whole["assets"][
        "documents"
    ]
    for part in parts:
        assert part["metadata"] == whole["metadata"]
        assert part["assets"]["documents"], "no part is empty"
        data = len(json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode())
        assert data <= size or len(part["assets"]["documents"]) == 1
    with pytest.raises(InvalidArgument, match=f"only {len(parts)} parts"):
        await app.container.exports.result("p", "parts", len(parts))


async def test_a_part_of_an_export_is_a_project_file_of_its_own(app: Life, monkeypatch: pytest.MonkeyPatch):
    await app.blobs.create_container("docs")
    given = project_file(SINGLE, "docs", 12)
    await app.container.imports.start("p", json.dumps(given).encode(), "tester", "job")
    _small_parts(monkeypatch, 1_500)
    await app.container.exports.start("p", "parts")
    files = [read_project_file(json.dumps(part).encode()) for part in await parts_of(app, "parts")]
    assert len(files) > 1
    assert len({document.location for file in files for document in file.documents}) == 12


async def test_two_workers_at_one_export_leave_the_parts_of_one(
    app: Life, memory: MemoryStorage, clock: Clock
):
    await app.create(on_upload=False)
    other = living(memory, clock)
    job = await app.container.exports.start("p", "export")
    running = replace(job, status=JobStatus.RUNNING, result=None)
    ended = await other.container.exports._export(running)
    assert ended.result == job.result
    incarnation = job.incarnation
    names = [
        info.name
        async for page in memory.blobs.list("labelbridge", prefix=f"{incarnation}/exports/")
        for info in page
    ]
    assert isinstance(job.result, ExportResult)
    assert names == [f"{incarnation}/exports/export/{job.result.file_id}/0.json"]


async def test_a_file_of_the_version_before_can_still_be_read(app: Life):
    project = await app.create(on_upload=False)
    stores = app.container.stores
    job = replace(Job.new(JobKind.EXPORT, "old", project, stores.clock()), status=JobStatus.SUCCEEDED)
    await stores.jobs.create(job)
    await stores.artifacts.write(f"{project.incarnation}/exports/old.json", b"{}")
    assert await app.container.exports.result("p", "old") == (b"{}", False)


async def test_the_file_of_an_export_is_deleted_with_its_job(
    app: Life, memory: MemoryStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    await app.create(on_upload=False)
    _small_parts(monkeypatch, 1)
    await app.upload({"a.txt": "One.", "b.txt": "Two."}, events=False)
    await look(app)

    async def reconcile() -> None:
        await app.container.maintenance.reconcile()
        await app.drain()

    job = await app.container.exports.start("p", "export")
    assert len(await parts_of(app, "export")) == 2
    clock.move((EXPIRES_AFTER - timedelta(minutes=1)).total_seconds())
    await reconcile()
    assert len(await parts_of(app, "export")) == 2
    clock.move(120)
    await reconcile()
    with pytest.raises(JobNotFound):
        await app.container.exports.result("p", "export")
    async for page in memory.blobs.list("labelbridge", prefix=f"{job.incarnation}/exports/"):
        assert page == []
