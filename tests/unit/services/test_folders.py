"""Directories of an account with a hierarchical namespace: one event for all documents in it (rules A13, D3)."""

import random

import pytest

from shared.domain.jobs import JobKind, JobStatus
from shared.services.autolabel import planning, registering
from tests.support.services import App, Clock

TEXTS = {f"{folder}/{n}.txt": f"text {n} in {folder}" for folder in ("a", "a/b", "ab", "c") for n in range(4)}


async def _project(app: App) -> None:
    await app.create(on_upload=False)
    await app.upload(TEXTS)
    await app.drain()
    await app.label("a/1.txt", "Bike")


async def _locations(app: App, *, missing: bool = False) -> set[str]:
    project = await app.container.projects.get(app.name)
    pages = app.container.stores.pages.scan(project.scope)
    return {d.location async for page in pages for d in page.documents.values() if d.missing is missing}


async def _move(app: App, source: str, target: str | None) -> list[str]:
    """Rename a directory, or delete it; the folders that its event names."""
    for name in [text for text in TEXTS if text.startswith(source)]:
        content = await app.blobs.read(app.documents, name)
        if content is None:
            continue
        await app.blobs.delete(app.documents, name)
        if target is not None:
            await app.blobs.write(app.documents, target + name.removeprefix(source), content.data)
    return [source] if target is None else [target, source]


async def _seen(app: App, folders: list[str]) -> None:
    for folder in folders:
        await app.container.uploads.seen(app.documents, folder, folder=True)
        await app.drain()


async def _scans(app: App) -> int:
    return len(await app.jobs(JobKind.SCAN))


async def test_a_deleted_directory_takes_its_documents_and_keeps_labels(app: App) -> None:
    await _project(app)
    folders = await _move(app, "a/", None)
    others = {text for text in TEXTS if not text.startswith("a/")}

    for _ in range(2):
        await _seen(app, folders)
        assert await _locations(app) == others
        assert await _locations(app, missing=True) == {"a/1.txt"}

    scans = [await app.container.registering.get(app.name, job.id) for job in await app.jobs(JobKind.SCAN)]
    assert {job.status for job in scans} == {JobStatus.SUCCEEDED}
    before = await app.rows()
    await app.container.maintenance.reconcile()
    await app.drain()
    assert {key: row for key, row in (await app.rows()).items() if key.startswith("page")} == {
        key: row for key, row in before.items() if key.startswith("page")
    }


@pytest.mark.parametrize("seed", range(4))
async def test_renames_twice_and_out_of_order_give_the_state_of_the_container(app: App, seed: int) -> None:
    await _project(app)
    events = [await _move(app, "a/", "x/"), await _move(app, "c/", "d/e/"), await _move(app, "ab/", None)]
    events *= 2
    random.Random(seed).shuffle(events)

    for folders in events:
        await _seen(app, folders)

    moved = {"x/" + text.removeprefix("a/") for text in TEXTS if text.startswith("a/")}
    assert await _locations(app) == moved | {f"d/e/{n}.txt" for n in range(4)}
    assert await _locations(app, missing=True) == {"a/1.txt"}


async def test_a_directory_that_is_there_again_stays(app: App) -> None:
    """The event of the deletion comes after the directory was written again."""
    await _project(app)
    await app.upload({"a/2.txt": "another text"}, events=False)

    await _seen(app, ["a/"])

    assert await _locations(app) == set(TEXTS)
    changed = await app.document("a/2.txt")
    assert changed is not None
    assert changed.characters == len("another text")


async def test_only_the_folder_is_compared(app: App) -> None:
    await _project(app)
    await app.blobs.delete(app.documents, "ab/0.txt")
    await app.upload({"c/new.txt": "new"}, events=False)

    await _seen(app, ["a/"])

    assert await _locations(app) == set(TEXTS)


async def test_events_of_many_directories_share_scans(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "FOLDERS_AT_ONCE", 5)
    await _project(app)
    before = await _scans(app)
    for folder in ("a/", "a/b/", "c/"):
        await _move(app, folder, None)
    for number in range(10):
        await app.container.uploads.seen(app.documents, f"empty{number}/", folder=True)
    for folder in ("a/", "a/b/", "c/"):
        await app.container.uploads.seen(app.documents, folder, folder=True)
    await app.drain()

    assert await _scans(app) - before <= 4
    assert await _locations(app) == {f"ab/{n}.txt" for n in range(4)}


async def test_a_large_folder_is_scanned_in_rounds(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "INSPECTIONS_AT_ONCE", 3)
    monkeypatch.setattr(registering, "ROUND_SECONDS", 1)  # `drain` waits for no delay
    await _project(app)
    asked: list[int] = []
    pending = app.container.stores.pending
    add_many = pending.add_many

    async def noted(incarnation: str, locations: list[str]) -> None:
        asked.append(len(locations))
        await add_many(incarnation, locations)

    monkeypatch.setattr(pending, "add_many", noted)

    await _seen(app, await _move(app, "a/", "x/"))

    assert max(asked) <= 3
    assert {location for location in await _locations(app) if location.startswith(("a/", "x/"))} == {
        "x/" + text.removeprefix("a/") for text in TEXTS if text.startswith("a/")
    }


async def test_the_sweep_takes_up_a_folder_whose_messages_were_lost(app: App, clock: Clock) -> None:
    await _project(app)
    await _move(app, "c/", None)
    await app.container.uploads.seen(app.documents, "c/", folder=True)
    for _ in range(2):  # the plan is lost, then the scan
        app.sent.waiting.clear()
        clock.move(60)
        await app.container.maintenance.sweep()
        await app.deliver(*app.sent.waiting.popleft())
    clock.move(60)
    await app.container.maintenance.sweep()
    await app.drain()

    assert not any(location.startswith("c/") for location in await _locations(app))


async def test_a_plan_that_dies_after_its_scan_was_made_makes_it_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _project(app)
    before = await _scans(app)
    await _move(app, "c/", None)
    await app.container.uploads.seen(app.documents, "c/", folder=True)
    queue, body = app.sent.waiting.popleft()

    async def dies(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(app.container.stores.pending, "remove", dies)
        with pytest.raises(RuntimeError):
            await app.deliver(queue, body)
    await app.deliver(queue, body)
    await app.drain()

    assert await _scans(app) - before == 1
    assert not any(location.startswith("c/") for location in await _locations(app))
