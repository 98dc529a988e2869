"""The write fence: no save is acknowledged after a lock, and none is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from shared.domain.document import ANY_VERSION, Document, document_id
from shared.domain.errors import LabelingLocked
from shared.domain.labels import Labels
from tests.support.azurite import Azurite
from tests.support.services import App, in_process
from tests.support.waiting import eventually

CLIENTS = 16
CYCLES = 50
LOCATIONS = [f"{number}.txt" for number in range(CLIENTS * 2)]
CATEGORIES = ("even", "odd")


@pytest.fixture
async def app(azurite: Azurite) -> AsyncIterator[App]:
    """The locking side, with documents to label."""
    async with azurite.storage() as clients:
        made = in_process(clients, prefix=clients.names.prefix)
        made.documents = f"{clients.names.prefix}docs"
        await made.create(on_upload=False)
        # An eighth of the usual pages: locking takes two transactions rather than eleven.
        await made.container.stores.directory.update("p", lambda project: replace(project, pages=128))
        await made.upload({location: f"Text of {location}." for location in LOCATIONS}, events=False)
        await made.container.registering.scan("p", "scan")
        await made.drain()
        for location, category in zip(LOCATIONS, CATEGORIES, strict=False):
            await made.label(location, category)
        yield made


class Saver:
    """One reviewer: it saves its two documents in turn, and remembers what was acknowledged."""

    def __init__(self, app: App, number: int) -> None:
        self.container = app.container
        self.mine = LOCATIONS[2 * number : 2 * number + 2]
        self.acknowledged: dict[str, Document] = {}
        self.saves = self.refusals = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            location = self.mine[self.saves % 2]
            labels = Labels(categories=(CATEGORIES[self.saves // 2 % 2],))
            try:
                shown = await self.container.documents.set_labels(
                    "p", document_id(location), ANY_VERSION, labels, "saver"
                )
            except LabelingLocked:
                self.refusals += 1
                continue
            self.acknowledged[location] = shown.document
            self.saves += 1


async def revisions(app: App) -> dict[str, str]:
    """The version of every document, as stored now."""
    project = await app.container.projects.get("p")
    found: dict[str, str] = {}
    async for page in app.container.stores.pages.scan(project.scope):
        found |= {d.location: d.revision for d in page.documents.values()}
    return found


@pytest.mark.timeout(600)
async def test_no_save_is_acknowledged_after_a_lock_and_none_is_lost(app: App, azurite: Azurite) -> None:
    prefix = app.container.stores.names.prefix
    fence, stop = app.container.stores.fence, asyncio.Event()
    async with azurite.storage(prefix) as clients:
        # A process of its own, as it were: it learns of locks only from the pages.
        other = in_process(clients, prefix=prefix)
        savers = [Saver(other, number) for number in range(CLIENTS)]
        tasks = [asyncio.create_task(saver.run(stop)) for saver in savers]
        try:
            for cycle in range(CYCLES):
                before = sum(saver.saves for saver in savers)
                await fence.lock("p", f"holder-{cycle}", "The test moves labels.")
                at_the_lock = await revisions(app)

                # A saver saves one document at a time: once it is refused, it has heard what became of all before.
                heard = {saver: saver.refusals + 1 for saver in savers}
                await _until(lambda heard=heard: all(s.refusals >= n for s, n in heard.items()))
                acknowledged = {k: d.revision for s in savers for k, d in s.acknowledged.items()}
                assert {k: at_the_lock[k] for k in acknowledged} == acknowledged, "not visible at the lock"
                assert await revisions(app) == at_the_lock, "a save landed while labels were locked"

                await fence.unlock("p", f"holder-{cycle}")
                await _until(lambda n=before: sum(s.saves for s in savers) >= n + CLIENTS // 2)
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    final = await revisions(app)
    for saver in savers:
        for location, document in saver.acknowledged.items():
            assert final[location] == document.revision
        assert saver.saves > 0
    await _history_has_every_save(app, savers)


async def _until(condition: Callable[[], bool]) -> None:
    async def look() -> bool:
        return condition()

    await eventually("the savers go on", look)


async def _history_has_every_save(app: App, savers: list[Saver]) -> None:
    total = 0
    for location in LOCATIONS:
        history = await app.container.documents.history("p", document_id(location))
        total += sum(1 for change in history if change.by == "saver" and change.entry.action == "labelsSet")
    assert total == sum(saver.saves for saver in savers)


async def test_registering_passes_a_raised_write_fence(app: App) -> None:
    await app.container.stores.fence.lock("p", "saga", "Labels are moving.")

    await app.upload({"new.txt": "text"})
    await app.drain()

    document = await app.document("new.txt")
    assert document is not None
    assert document.waiting


async def test_one_holder_at_a_time(app: App) -> None:
    fence = app.container.stores.fence
    first = await fence.lock("p", "a", "First.")
    with pytest.raises(LabelingLocked, match="First"):
        await fence.lock("p", "b", "Second.")
    assert (await fence.lock("p", "a", "Again.")).locks == first.locks
    assert (await fence.unlock("p", "b")).lock is not None
    assert (await fence.unlock("p", "a")).lock is None
    assert (await fence.lock("p", "b", "Second.")).locks == first.locks + 1
