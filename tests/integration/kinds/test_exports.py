"""Exports and what becomes of them: blobs that are no documents, and settings that a PATCH took."""

import itertools
import json
from typing import Any

import pytest

from shared.domain.jobs import JobStatus
from shared.services.categories import CategoryChange
from shared.storage.gateways.memory import MemoryStorage
from tests.integration.kinds.files import comparable, project_file
from tests.support.api import SINGLE
from tests.support.lives import Life, living
from tests.support.meanwhile import Meanwhile
from tests.support.services import Clock

NO_TEXT = b"\xff\xfe\xff"


async def export(app: Life, job_id: str = "export") -> dict[str, Any]:
    await app.container.exports.start("p", job_id)
    return json.loads(await app.container.exports.result("p", job_id))


async def look(app: Life) -> None:
    await app.container.registering.scan("p", f"scan-{len(app.delivered)}")
    await app.drain()


async def test_export_of_an_import_is_equal_where_blobs_are_no_documents(app: Life):
    given = project_file(SINGLE, "docs", 12)
    await app.blobs.create_container("docs")
    await app.upload({one["location"]: NO_TEXT for one in given["assets"]["documents"]}, events=False)
    await app.container.imports.start("p", json.dumps(given).encode(), "tester", "job")
    await look(app)
    assert (await app.container.categories.statistics("p"))["documents"]["rejected"] == 12
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
        on_upload=False, confidence_threshold=1.0, run_gpt_predictions=True, gpt_predictive_lookahead=100_000
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
    """At each of its calls to storage in turn, somebody renames a category, or defines one and uses it."""
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
        assets = json.loads(await other.container.exports.result("p", f"export-{number}"))["assets"]
        used = {document["class"]["category"] for document in assets["documents"]}
        assert used <= {one["category"] for one in assets["classes"]}
    assert number > 5
