"""A missing container is an outage, and many removals need a confirmation (rules D3, D12, D13)."""

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.jobs import Job, JobStatus, Outcome
from tests.support.services import App, result_json


async def _scan(app: App, job_id: str, **more: bool) -> Job:
    await app.container.registering.scan(app.name, job_id, **more)
    await app.drain()
    return await app.container.registering.get(app.name, job_id)


async def _reconcile(app: App) -> None:
    await app.container.maintenance.reconcile()
    await app.drain()


async def _registered(app: App) -> int:
    return (await app.container.categories.statistics(app.name)).documents


async def _project(app: App, count: int) -> None:
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"text {n}" for n in range(count)})
    await app.drain()


async def test_a_label_outlives_its_blob(app: App) -> None:
    await _project(app, 3)
    await app.label("0.txt", "Bike")
    await app.blobs.delete(app.documents, "0.txt")
    for _ in range(2):
        await app.container.uploads.seen(app.documents, "0.txt")
        await app.drain()
    gone = await app.document("0.txt")
    assert gone is not None
    assert (gone.missing, gone.labels and gone.labels.categories) == (True, ("Bike",))

    await app.upload({"0.txt": "text 0"}, events=False)
    for _ in range(2):
        await _reconcile(app)
    back = await app.document("0.txt")
    assert back is not None
    assert (back.missing, back.content_changed, back.labels) == (False, False, gone.labels)


async def test_a_container_that_does_not_exist_removes_nothing(app: App) -> None:
    await _project(app, 3)
    await app.label("0.txt", "Bike")
    containers = app.blobs.containers  # type: ignore[attr-defined] - the in-memory storage
    away = containers.pop(app.documents)
    await _reconcile(app)
    job = await _scan(app, "scan")
    assert (job.status, [w.code for w in job.warnings]) == (JobStatus.SUCCEEDED, ["ContainerNotFound"])
    assert await _registered(app) == 3

    containers[app.documents] = away
    await _reconcile(app)
    assert await _registered(app) == 3
    kept = await app.document("0.txt")
    assert kept is not None
    assert not kept.missing


async def test_more_removals_than_half_wait_for_a_person(app: App) -> None:
    await _project(app, 5)
    for n in range(3):
        await app.blobs.delete(app.documents, f"{n}.txt")
    await _reconcile(app)
    job = await _scan(app, "scan")
    assert [(w.code, w.target) for w in job.warnings] == [("RemovalsNotConfirmed", "confirmRemovals")]
    assert "3 of 5 documents" in job.warnings[0].message
    assert (result_json(job)["gone"], await _registered(app)) == (0, 5)
    assert result_json(job)["removalsHeldBack"] == 3

    for _ in range(2):  # a repeat is the same scan
        confirmed = await _scan(app, "confirmed", confirm_removals=True)
    assert (confirmed.warnings, result_json(confirmed)["gone"], await _registered(app)) == ((), 3, 2)
    assert "removalsHeldBack" not in result_json(confirmed)


async def test_fewer_removals_need_nobody(app: App) -> None:
    await _project(app, 5)
    for n in range(2):
        await app.blobs.delete(app.documents, f"{n}.txt")
    await _reconcile(app)
    assert await _registered(app) == 3


async def test_an_event_while_the_container_is_away_removes_nothing(app: App) -> None:
    """Also of documents without labels, and for whatever job finds them."""
    await _project(app, 3)
    await app.label("0.txt", "Bike")
    before = [await app.document(f"{n}.txt") for n in range(3)]
    containers = app.blobs.containers  # type: ignore[attr-defined] - the in-memory storage
    away = containers.pop(app.documents)
    for n in range(3):
        await app.container.uploads.seen(app.documents, f"{n}.txt")
    await app.container.uploads.seen(app.documents, "image.png")
    await app.drain()
    named = await app.autolabel("named", documents=tuple(document_id(f"{n}.txt") for n in (1, 2)))
    every = await app.autolabel("every")

    assert [await app.document(f"{n}.txt") for n in range(3)] == before
    for job in (named, every):
        assert (job.status, [e.code for e in job.errors]) in [
            (JobStatus.FAILED, ["ContainerNotFound"]),
            (JobStatus.FAILED, ["FitFailed"]),  # there is nothing to learn from
        ]
    assert await _registered(app) == 3

    containers[app.documents] = away
    await _reconcile(app)
    assert await _registered(app) == 3


async def test_a_job_that_has_its_model_fails_without_the_container(app: App) -> None:
    await _project(app, 3)
    await app.label("0.txt", "Bike")
    await app.fit()
    app.blobs.containers.pop(app.documents)  # type: ignore[attr-defined] - the in-memory storage
    job = await app.autolabel("job")
    assert (job.status, [e.code for e in job.errors]) == (JobStatus.FAILED, ["ContainerNotFound"])
    assert result_json(job)["outcomes"]["failed"] == 2
    assert await _registered(app) == 3


async def test_a_job_over_documents_whose_blobs_are_gone_removes_none(app: App) -> None:
    """A listing decides how many may go; what people labeled is flagged at once."""
    await _project(app, 6)
    for n in (0, 1):
        await app.label(f"{n}.txt", ("Bike", "Car")[n])
    await app.fit()
    for n in range(1, 6):
        await app.blobs.delete(app.documents, f"{n}.txt")
    named = await app.autolabel("named", documents=tuple(document_id(f"{n}.txt") for n in (1, 2)))
    every = await app.autolabel("every")

    outcomes = await app.container.autolabel.outcomes(app.name, named.id)
    assert {(o.location, o.outcome, o.error and o.error.code) for o in outcomes} == {
        (f"{n}.txt", Outcome.SKIPPED, "BlobNotFound") for n in (1, 2)
    }
    assert every.status is JobStatus.SUCCEEDED
    assert await _registered(app) == 6
    labeled = await app.document("1.txt")
    assert labeled is not None
    assert labeled.missing
    await _reconcile(app)
    assert await _registered(app) == 6, "4 of 5 would go"

    await _scan(app, "confirmed", confirm_removals=True)
    assert await _registered(app) == 2


@pytest.mark.parametrize("imported", [False, True])
async def test_a_document_without_a_blob_goes_when_its_labels_are_cleared(app: App, imported: bool) -> None:
    await _project(app, 5)
    await app.label("0.txt", "Bike")
    await app.label("1.txt", "Bike")
    for name in ("0.txt", "1.txt"):
        await app.blobs.delete(app.documents, name)
    if imported:  # now they are documents that never had a blob
        export = await app.container.exports.start(app.name, "export")
        body, _ = await app.container.exports.result(app.name, export.id)
        await app.container.imports.start(app.name, body, "tester", "import")
    await _reconcile(app)
    gone = await app.document("0.txt")
    assert gone is not None
    assert gone.missing
    shown = await app.container.documents.set_labels(
        app.name, document_id("0.txt"), ANY_VERSION, None, "tester"
    )
    assert shown.document.labels is None

    for _ in range(2):
        await _reconcile(app)

    assert await app.document("0.txt") is None
    kept = await app.document("1.txt")
    assert kept is not None
    assert kept.missing
    history = await app.container.documents.history(app.name, document_id("0.txt"))
    assert history[0].entry.action == "deleted"


async def test_labels_that_are_cleared_by_mistake_come_back_until_the_document_goes(app: App) -> None:
    await _project(app, 3)
    await app.label("0.txt", "Bike")
    await app.blobs.delete(app.documents, "0.txt")
    await _reconcile(app)
    documents, key = app.container.documents, document_id("0.txt")
    await documents.set_labels(app.name, key, ANY_VERSION, None, "tester")
    await documents.undo(app.name, key, ANY_VERSION, "tester")

    for _ in range(2):
        await _reconcile(app)

    kept = await app.document("0.txt")
    assert kept is not None
    assert (kept.missing, kept.labels and kept.labels.categories) == (True, ("Bike",))
