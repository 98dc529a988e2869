"""A blob that the service refuses to read, such as an archived one, is an outcome of its document and of no other."""

import pytest

from shared.domain.document import document_id
from shared.domain.errors import Conflict
from shared.domain.jobs import JobStatus
from shared.domain.text import reject_unreadable, why_not_a_document
from shared.services.autolabel import registering
from shared.services.training.service import TrainRequest
from tests.support.services import App, Clock, result_json
from tests.support.storage.memory import MemoryBlobs


async def _reconcile(app: App) -> None:
    await app.container.maintenance.reconcile()
    await app.drain()


def _refusals(app: App) -> dict[tuple[str, str], str]:
    assert isinstance(app.blobs, MemoryBlobs)
    return app.blobs.refusals


async def test_an_archived_blob_stops_no_other_and_is_taken_up_when_it_can_be_read(app: App) -> None:
    await app.create(on_upload=False)
    _refusals(app)[app.documents, "arch.txt"] = "BlobArchived"
    await app.upload({"arch.txt": "archived", "good.txt": "good"})
    await app.drain()
    for _ in range(2):
        await _reconcile(app)
    good, archived = await app.document("good.txt"), await app.document("arch.txt")
    assert good is not None
    assert archived is not None
    assert (good.rejection, archived.rejection and archived.rejection.code) == (None, "BlobArchived")
    await app.container.registering.scan(app.name, "scan")
    await app.drain()
    assert (await app.container.registering.get(app.name, "scan")).status is JobStatus.SUCCEEDED

    _refusals(app).clear()
    await _reconcile(app)
    back = await app.document("arch.txt")
    assert back is not None
    assert (back.rejection, back.length) == (None, len("archived"))


async def test_a_labeled_document_keeps_everything_while_its_blob_is_archived(app: App) -> None:
    await app.create()
    await app.upload({"a.txt": "text"})
    await app.drain()
    labeled = await app.label("a.txt", "Bike")
    _refusals(app)[app.documents, "a.txt"] = "BlobArchived"
    for _ in range(2):
        await app.container.uploads.seen(app.documents, "a.txt")
        await app.drain()
    archived = await app.document("a.txt")
    assert archived is not None
    assert (archived.labels, archived.content, archived.content_changed) == (
        labeled.labels,
        labeled.content,
        False,
    )

    _refusals(app).clear()
    await _reconcile(app)
    back = await app.document("a.txt")
    assert back is not None
    assert (back.rejection, back.labels, back.content_changed) == (None, labeled.labels, False)


@pytest.mark.parametrize("notice", ["scan", "read", "train"])
async def test_a_blob_that_is_archived_after_it_was_read_is_flagged_when_it_is_noticed(
    app: App, clock: Clock, notice: str
) -> None:
    """That changes no ETag, and no event tells it. The labels stay, out of training."""
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"text {n}" for n in range(4)})
    await app.drain()
    for n in range(4):
        await app.label(f"{n}.txt", "Bike")
    _refusals(app)[app.documents, "0.txt"] = "BlobArchived"
    if notice == "scan":
        await app.container.registering.scan(app.name, "scan")
    elif notice == "read":
        with pytest.raises(
            Conflict, match=r"The blob '0.txt' cannot be read: The blob is in the archive tier"
        ):
            await app.container.documents.text(app.name, document_id("0.txt"))
    else:
        await app.container.training.start(app.name, TrainRequest("m"), "train")
        await app.drain()
        warnings = (await app.container.training.get(app.name, "train")).warnings
        assert [(w.code, w.message.endswith(": 0.txt.")) for w in warnings] == [("BlobArchived", True)]
    await app.drain()
    clock.move(301)
    await app.container.maintenance.sweep()
    await app.drain()

    archived = await app.document("0.txt")
    assert archived is not None
    assert (archived.rejection and archived.rejection.code, archived.labels is not None) == (
        "BlobArchived",
        True,
    )
    with pytest.raises(Conflict, match="cannot be read"):
        await app.container.documents.text(app.name, document_id("0.txt"))
    _refusals(app).clear()
    await _reconcile(app)
    back = await app.document("0.txt")
    assert back is not None
    assert (back.rejection, back.labels, back.content_changed) == (None, archived.labels, False)


async def test_an_archived_document_fails_its_job_alone_with_the_reason(app: App) -> None:
    await app.create(on_upload=False)
    await app.define("Bike")
    await app.upload({"a.txt": "@Bike:80", "b.txt": "@Bike:70"})
    await app.drain()
    _refusals(app)[app.documents, "a.txt"] = "BlobArchived"
    documents = [d.id for d in [await app.document("a.txt"), await app.document("b.txt")] if d is not None]
    job = await app.autolabel(documents=tuple(documents))
    assert job.status is JobStatus.PARTIALLY_COMPLETED
    assert result_json(job)["outcomes"] == {"suggested": 1, "nothingFound": 0, "skipped": 0, "failed": 1}
    [failed] = [o for o in await app.container.autolabel.outcomes(app.name, job.id) if o.error]
    assert (failed.location, failed.error and failed.error.code) == ("a.txt", "BlobArchived")


@pytest.mark.parametrize("repeated", ["scan", "reconcile"])
async def test_many_blobs_that_cannot_be_read_keep_no_other_from_being_found(
    app: App, monkeypatch: pytest.MonkeyPatch, repeated: str
) -> None:
    monkeypatch.setattr(registering, "INSPECTIONS_AT_ONCE", 5)
    monkeypatch.setattr(registering, "ROUND_SECONDS", 1)  # `drain` waits for no delay
    await app.create(on_upload=False)
    archived = [f"a{n:02}.txt" for n in range(12)]
    await app.upload(dict.fromkeys(archived, "archived"), events=False)
    for name in archived:
        _refusals(app)[app.documents, name] = "BlobUsesCustomerSpecifiedEncryption"
    await app.container.registering.scan(app.name, "first")
    await app.drain()
    await app.upload({f"z{n}.txt": f"text {n}" for n in range(7)}, events=False)
    if repeated == "reconcile":
        for _ in range(2):
            await _reconcile(app)
    else:
        await app.container.registering.scan(app.name, "second")
        await app.drain()
        scan = await app.container.registering.get(app.name, "second")
        assert (scan.status, result_json(scan)["new"]) == (JobStatus.SUCCEEDED, 7)
        assert result_json(scan)["changed"] == 12, "each was tried again, once"
    assert [await app.document(f"z{n}.txt") is not None for n in range(7)] == [True] * 7
    _refusals(app).clear()
    await app.container.registering.scan(app.name, "third")
    await app.drain()
    found = [await app.document(name) for name in archived]
    assert [document.rejection if document else "missing" for document in found] == [None] * 12


async def test_documents_that_cannot_be_read_are_not_removed_by_a_listing_without_them(app: App) -> None:
    """They count as others do: a listing without more than half of the documents needs a person (rule D12)."""
    await app.create(on_upload=False)
    names = [f"a{n}.txt" for n in range(4)]
    await app.upload(dict.fromkeys(names, "archived"))
    for name in names:
        _refusals(app)[app.documents, name] = "BlobArchived"
    await app.drain()
    for name in names:
        await app.blobs.delete(app.documents, name)
    await app.container.registering.scan(app.name, "emptied")
    await app.drain()
    scan = await app.container.registering.get(app.name, "emptied")
    assert [warning.code for warning in scan.warnings] == ["RemovalsNotConfirmed"]
    assert [await app.document(name) is not None for name in names] == [True] * 4
    await app.container.registering.scan(app.name, "confirmed", confirm_removals=True)
    await app.drain()
    assert [await app.document(name) for name in names] == [None] * 4


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "BlobArchived",
            "The blob is in the archive tier; rehydrate it to an online tier so that it can be read.",
        ),
        ("KeyVaultEncryptionKeyNotFound", "The blob's encryption key was not found in the key vault."),
        ("SomethingNew", "The storage account refuses to read the blob (SomethingNew)."),
    ],
)
def test_the_reason_of_a_blob_and_of_many_is_the_same(code: str, message: str) -> None:
    rejection = reject_unreadable(code)
    reason = why_not_a_document(code)
    assert (rejection.code, rejection.message) == (code, message)
    assert message.lower().startswith(reason.lower()), "what a training says of all such documents"
