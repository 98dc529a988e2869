"""Full size: 100,000 documents in and out, a container of 100,000 blobs, a training on 3,000 documents."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shared.domain.document import Document, document_id
from shared.domain.names import QUEUES, ProjectKind
from shared.domain.page import Page, page_of
from shared.domain.project import Project
from shared.services.jobs.lifecycle import JobMessage
from shared.storage.pages import Author
from tests.support.azurite import Azurite, azurite
from tests.support.lives import Life, living
from tests.support.services import Clock, result_json
from tests.support.storage.memory import MemoryStorage

__all__ = ["azurite"]

pytestmark = pytest.mark.timeout(900)  # a busy machine takes several times of what an idle one does

ROOT = Path(__file__).parents[2]
DOCUMENTS = 100_000
MEMORY = 512
TRAINING_MEMORY = 1_024


def work(*arguments: str) -> dict[str, Any]:
    """Run one piece of work in a process of its own."""
    command = [sys.executable, "-m", "tests.scale.worker", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    found = json.loads(done.stdout)
    sys.stderr.write(f"\n{arguments[0]}: {found}\n")
    return found


async def test_100_000_documents_are_imported_and_exported_in_512_mib(azurite: Azurite, tmp_path: Path):
    file = tmp_path / "project.json"
    file.write_text(json.dumps(_entities(DOCUMENTS)))
    async with azurite.storage() as storage:
        await storage.table("projects").create()
        await storage.blobs.create_container("scaled")
        await storage.blobs.create_container(storage.names.prefix)
        for queue in QUEUES:
            await storage.queues.create(queue)
        found = work("transfer", azurite.connection_string, storage.names.prefix, "scaled", str(file))
    assert (found["import"], found["export"]) == ("succeeded", "succeeded")
    assert found["documents"] == found["exported"] == found["labels"] == DOCUMENTS
    assert found["memory"] < MEMORY


def _entities(documents: int) -> dict[str, Any]:
    def document(number: int) -> dict[str, Any]:
        label = {"category": "Name", "offset": number % 50, "length": 5}
        region = {"regionOffset": 0, "regionLength": 400, "labels": [label]}
        location = f"2030/folder-{number % 100}/document-{number:06}.txt"
        return {"location": location, "language": "en-us", "dataset": "Train", "entities": [region]}

    kind = ProjectKind.ENTITIES.value
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": kind,
            "storageInputContainerName": "scaled",
            "projectName": "big",
            "language": "en-us",
            "settings": {},
        },
        "assets": {
            "projectKind": kind,
            "entities": [{"category": "Name"}],
            "documents": [document(number) for number in range(documents)],
        },
    }


@pytest.mark.parametrize("kind", [ProjectKind.SINGLE_LABEL, ProjectKind.ENTITIES])
def test_a_training_on_3_000_documents_keeps_within_1_gib_and_its_time(kind: ProjectKind):
    found = work("train", kind.value, "3000")
    assert found["status"] == "succeeded", found
    assert found["microF1"] > 0.9  # the texts are easy: this tells that it learned at all
    assert found["memory"] < TRAINING_MEMORY
    assert found["seconds"] < _function_timeout() / 4


def _function_timeout() -> int:
    hours, minutes, seconds = map(
        int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":")
    )
    return 3_600 * hours + 60 * minutes + seconds


async def test_reconcile_and_scan_of_100_000_blobs_find_what_was_lost_changed_and_deleted():
    clock = Clock()
    app = living(MemoryStorage(clock=clock), clock)
    project = await app.create(on_upload=False)
    await _registered(app, project)
    lost = {f"new-{number}.txt": f"lost {number}" for number in range(40)}
    changed = {f"{number:06}.txt": f"changed {number}" for number in range(1_000, 1_040)}
    deleted = [f"{number:06}.txt" for number in range(90_000, 90_040)]
    for name in deleted:
        await app.blobs.delete(app.documents, name)
    await app.upload(lost | changed, events=False)

    started = time.monotonic()
    message = JobMessage(project=app.name, incarnation=project.incarnation, kind="reconcile", job="reconcile")
    await app.container.dispatcher.run(message)
    looks = (await app.container.stores.pending.first(project.scope, 1_000))[0]
    sys.stderr.write(f"\nreconcile: {time.monotonic() - started:.1f} s for {DOCUMENTS:,} blobs\n")

    assert sorted(look.location for look in looks) == sorted([*lost, *changed, *deleted])
    await app.drain()
    statistics = await app.container.categories.statistics(app.name)
    assert statistics.documents == DOCUMENTS + len(lost) - len(deleted)
    for name in (*lost, *changed):
        assert (await app.get(name)).length == len((lost | changed)[name])
    assert [await app.document(name) for name in deleted] == [None] * len(deleted)

    # Now they agree: a scan has nothing to look at, and says so.
    job = await app.container.registering.scan(app.name, "scan")
    await app.drain()
    job = await app.container.registering.get(app.name, "scan")
    assert {name: result_json(job)[name] for name in ("blobs", "new", "changed", "gone")} == {
        "blobs": DOCUMENTS,
        "new": 0,
        "changed": 0,
        "gone": 0,
    }
    assert job.status == "succeeded"


async def _registered(app: Life, project: Project) -> None:
    """Blobs, and documents that know them."""
    buckets: dict[int, dict[str, Document]] = {}
    for number in range(DOCUMENTS):
        name = f"{number:06}.txt"
        etag = await app.blobs.write(app.documents, name, b"text")
        key = document_id(name)
        document = Document(
            key, name, "en-us", revision="r", blob_etag=etag, content="c", planned="c", length=4
        )
        buckets.setdefault(page_of(key, project.pages), {})[key] = document
    pages = [Page(number, dict(sorted(bucket.items()))) for number, bucket in sorted(buckets.items())]
    author = Author("test", app.container.stores.clock(), "r")
    await app.container.stores.pages.write_edition(project, pages, author, lambda page: ())
