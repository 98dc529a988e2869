"""Writers of single pages share transactions, and each is answered as if it had come alone (rules V2, V5)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import override

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import Conflict, LabelingLocked, StaleDocument
from shared.domain.labels import Labels
from shared.domain.names import DocumentStatus
from shared.domain.page import Edit, Page, page_of
from shared.domain.project import DEFAULT_PAGES, Project
from shared.domain.review import Decision
from shared.services.review.bulk import BulkRequest
from shared.services.review.listing import DocumentQuery
from shared.services.review.service import Submitted
from shared.storage import pages
from shared.storage.gateways.ports import Commit, Operation, StorageUnavailable
from shared.storage.pages import Author
from tests.support.repeating import Repeating
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage
from tests.unit.storage.test_heads import listed, on_one_page, prepared

LOGIN = Labels(categories=("Login",))


class Watched(Repeating):
    """Notes the size of each transaction, lets others run before it, and someone else act before the next."""

    def __init__(self, storage: MemoryStorage) -> None:
        super().__init__(storage.table("projects"))
        self.sizes: list[int] = []
        self.at_once: list[bool] = []
        self.turns: list[int] = []
        """Operations of the transactions that ask for a turn; 0: it need not wait for one."""
        self.begun = asyncio.Event()
        self.before: Callable[[], Awaitable[object]] | None = None

    @override
    async def commit(
        self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
    ) -> list[str]:
        self.begun.set()
        await asyncio.sleep(0)
        before, self.before = self.before, None
        if before is not None:
            await before()
        self.sizes.append(len(operations))
        self.at_once.append(at_once)
        return await self._inner.commit(partition, operations, at_once=at_once)

    @override
    @asynccontextmanager
    async def turn(self, partition: str, operations: int) -> AsyncGenerator[Commit]:
        self.turns.append(operations)
        yield self.commit


async def watched(storage: MemoryStorage) -> tuple[App, Watched]:
    """A new process that knows the project, and no page."""
    table = Watched(storage)
    app = in_process(storage, table=table)
    await app.container.projects.get("p")
    return app, table


async def all_labeled(storage: MemoryStorage, names: Sequence[str]) -> None:
    """Each document is labeled, with one row of its history, as a new process reads it."""
    other = in_process(storage)
    labeled = {d.location: d for d in await listed(other, DocumentQuery(DocumentStatus.LABELED))}
    assert labeled.keys() >= set(names)
    for name in names:
        history = await other.container.documents.history("p", labeled[name].id)
        assert [change.entry.action for change in history] == ["labelsSet"]


async def test_writers_of_one_page_share_a_read_and_a_transaction() -> None:
    storage = MemoryStorage()
    names = on_one_page(8)
    await prepared(storage, names)
    app, table = await watched(storage)
    before = storage.counter.snapshot()

    await asyncio.gather(*(app.label(name, "Login") for name in names))

    assert table.sizes == [10]  # the page, its head, eight rows of history
    assert storage.counter.since(before) == {("table", "get"): 1, ("table", "commit"): 1}
    await all_labeled(storage, names)
    assert app.container.stores.pages._groups._waiting == {}


async def test_a_save_of_many_pages_takes_no_turn_of_jobs() -> None:
    storage = MemoryStorage()
    names = [f"d{n}.txt" for n in range(12)]
    app = in_process(storage)
    await app.create()
    await app.define("Refund", "Login")
    await app.upload(dict.fromkeys(names, "@Refund:73"))
    await app.drain()
    app, table = await watched(storage)

    saved = [Submitted(Decision(document_id(name), accept_all=True), ANY_VERSION) for name in names[:10]]
    await app.container.review.save("p", saved, "me")
    assert (table.turns, table.sizes) == ([0], [30])

    await app.container.bulk.start("p", BulkRequest(accept=True), "me", "bulk")
    await app.drain()
    assert table.turns[1] == max(table.sizes[1:]) == 7  # two pages, and the row of the batch


async def test_writers_of_other_pages_wait_and_then_share_a_transaction() -> None:
    storage = MemoryStorage()
    names = [f"d{n}.txt" for n in range(12)]
    assert len({page_of(document_id(name), DEFAULT_PAGES) for name in names}) == 12
    await prepared(storage, names)
    app, table = await watched(storage)
    first = asyncio.create_task(app.label(names[0], "Login"))
    await table.begun.wait()

    await asyncio.gather(*(app.label(name, "Login") for name in names[1:]), first)

    assert table.sizes == [3, 33]
    assert table.at_once == [True, True], "a save waits for no batch"
    await all_labeled(storage, names)


async def test_an_error_of_one_writer_stops_no_other() -> None:
    """A stale version, a document that does not exist and an unknown failure, between saves of the same page."""
    storage = MemoryStorage()
    names = on_one_page(4)
    await prepared(storage, names)
    app, table = await watched(storage)
    stale = (await in_process(storage).label(names[0], "Refund")).revision
    number = page_of(document_id(names[0]), DEFAULT_PAGES)
    handle = await app.container.stores.directory.open("p")

    def fails(page: Page, project: Project) -> Edit | None:
        raise RuntimeError("Unknown.")

    author = Author("me", app.container.stores.clock(), "revision-1")
    version = replace(ANY_VERSION, labels="former" + stale)
    results = await asyncio.gather(
        app.label(names[1], "Login"),
        app.container.documents.set_labels("p", document_id(names[0]), version, LOGIN, "me"),
        app.container.stores.pages.write(handle, [number], fails, author),
        app.label(names[2], "Login"),
        return_exceptions=True,
    )

    assert table.sizes == [4]
    assert isinstance(results[1], StaleDocument)
    assert isinstance(results[2], RuntimeError)
    await all_labeled(storage, names[1:3])


async def test_two_writers_of_one_document_are_one_save_and_one_conflict() -> None:
    storage = MemoryStorage()
    await prepared(storage, ["a.txt"])
    app, table = await watched(storage)
    document = await app.document("a.txt")
    assert document is not None
    version = replace(ANY_VERSION, labels=document.revision)
    save = app.container.documents.set_labels

    saved, refused = await asyncio.gather(
        save("p", document.id, version, LOGIN, "first"),
        save("p", document.id, version, Labels(categories=("Refund",)), "second"),
        return_exceptions=True,
    )

    assert not isinstance(saved, BaseException)
    assert isinstance(refused, StaleDocument)
    stored = await in_process(storage).document("a.txt")
    assert stored is not None
    assert (stored.labels, stored.revision) == (LOGIN, saved.document.revision)
    assert table.sizes == [3]


async def test_a_page_that_another_process_wrote_is_written_after_the_others() -> None:
    storage = MemoryStorage()
    names = [f"d{n}.txt" for n in range(6)]
    await prepared(storage, [*names, "other.txt"])
    app, table = await watched(storage)
    other = in_process(storage)
    table.before = lambda: other.label(names[3], "Refund")

    await asyncio.gather(*(app.label(name, "Login") for name in names))

    assert table.sizes == [18, 15, 3]  # refused; the five others; the page as it is now
    stored = await in_process(storage).document(names[3])
    assert stored is not None
    assert stored.labels == LOGIN


async def test_a_transaction_whose_answer_was_lost_is_recognized_for_all_of_its_writers() -> None:
    storage = MemoryStorage()
    names = [*on_one_page(3), "x1.txt", "x2.txt"]
    await prepared(storage, names)
    table = Repeating(storage.table("projects"), lambda operations: True)
    app = in_process(storage, table=table)
    await app.container.projects.get("p")

    await asyncio.gather(*(app.label(name, "Login") for name in names))

    await all_labeled(storage, names)


async def test_an_outage_is_an_error_for_all_and_the_next_save_succeeds() -> None:
    storage = MemoryStorage()
    names = on_one_page(3)
    await prepared(storage, names)
    app, table = await watched(storage)

    async def outage() -> None:
        raise StorageUnavailable("The answer was lost.")

    table.before = outage
    results = await asyncio.gather(*(app.label(name, "Login") for name in names), return_exceptions=True)

    assert all(isinstance(result, StorageUnavailable) for result in results)
    await asyncio.gather(*(app.label(name, "Login") for name in names))
    await all_labeled(storage, names)


async def test_a_lock_refuses_every_writer_of_the_transaction() -> None:
    storage = MemoryStorage()
    names = on_one_page(3)
    await prepared(storage, names)
    app, table = await watched(storage)
    fence = in_process(storage).container.stores.fence
    table.before = lambda: fence.lock("p", "saga", "Labels are moving.")

    results = await asyncio.gather(*(app.label(name, "Login") for name in names), return_exceptions=True)

    assert all(isinstance(result, LabelingLocked) for result in results)


async def test_a_caller_that_is_gone_stops_nobody() -> None:
    storage = MemoryStorage()
    names = on_one_page(4)
    await prepared(storage, names)
    app, table = await watched(storage)
    tasks = [asyncio.create_task(app.label(name, "Login")) for name in names]
    await table.begun.wait()
    tasks[0].cancel()  # whose request began the writer

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    await all_labeled(storage, names[1:])


async def test_long_histories_are_written_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "HISTORY_BYTES", 1)
    storage = MemoryStorage()
    names = on_one_page(3)
    await prepared(storage, names)
    app, table = await watched(storage)

    await asyncio.gather(*(app.label(name, "Login") for name in names))

    assert len(table.sizes) == 3
    await all_labeled(storage, names)


@pytest.mark.parametrize("answer", ["raises", "nothing"])
async def test_what_a_process_remembers_refuses_nobody(answer: str) -> None:
    """Another process wrote the page since: the writer decides by the page as it is now."""
    storage = MemoryStorage()
    first, second = on_one_page(2)
    await prepared(storage, [first, second])
    app, other = in_process(storage), in_process(storage)
    await app.label(first, "Login")
    await other.label(second, "Login")
    handle = await app.container.stores.directory.open("p")
    key = document_id(second)
    number = page_of(key, DEFAULT_PAGES)
    author = Author("me", app.container.stores.clock(), "revision-2")

    def change(page: Page, project: Project) -> Edit | None:
        document = page.documents[key]
        if document.labels == LOGIN:
            return Edit({key: replace(document, language="fr")}, ())
        if answer == "raises":
            raise Conflict("The page is old.")
        return None

    written = await app.container.stores.pages.write(handle, [number], change, author)

    assert written.pages[number].revision == "revision-2"
    stored = await other.document(second)
    assert stored is not None
    assert (stored.language, stored.labels) == ("fr", LOGIN)
    labeled = await listed(other, DocumentQuery(DocumentStatus.LABELED))
    assert {d.location for d in labeled} >= {first, second}


async def test_where_another_process_writes_pages_are_read_first_for_a_while() -> None:
    storage = MemoryStorage()
    first, second = on_one_page(2)
    await prepared(storage, [first, second])
    app, other = in_process(storage), in_process(storage)
    await app.label(first, "Login")
    await other.label(second, "Login")
    costs: list[dict[tuple[str, str], int]] = []
    for _ in range(2):
        before = storage.counter.snapshot()
        await app.label(first, "Refund")
        costs.append({**storage.counter.since(before)})

    # Refused, not our own, read again; then a read first.
    assert costs[0][("table", "commit")] == 2
    assert costs[1] == {("table", "get"): 1, ("table", "commit"): 1}
