"""Exports and what becomes of them: blobs that are no documents, and settings that a PATCH took."""

import json
from typing import Any

from shared.domain.jobs import JobStatus
from tests.integration.kinds.files import comparable, project_file
from tests.support.api import SINGLE
from tests.support.lives import Life

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
