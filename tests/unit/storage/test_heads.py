"""The cache of heads and pages is never stale, whichever process wrote; a list reads only what changed."""

import asyncio
import random
from collections.abc import Sequence
from itertools import count
from typing import override

import pytest

from shared.domain.document import ANY_VERSION, Document, document_id
from shared.domain.names import Dataset, DocumentStatus
from shared.domain.page import page_of
from shared.domain.project import DEFAULT_PAGES, Project
from shared.services.review.documents import DocumentPatch
from shared.services.review.listing import DocumentQuery
from shared.storage import page_access
from shared.storage.gateways.ports import Operation
from shared.storage.rows import head_key
from tests.support.repeating import Repeating
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage

CATEGORIES = ("Refund", "Login")
QUERIES = [
    DocumentQuery(status, dataset, flagged=flagged, orderby=order)
    for order in ("id", "location", "uncertainty")
    for status in (None, DocumentStatus.AUTO_LABELED, DocumentStatus.LABELED)
    for dataset in (None, Dataset.TEST)
    for flagged in (None, True, False)
]


async def prepared(storage: MemoryStorage, names: Sequence[str]) -> App:
    app = in_process(storage)
    await app.create()
    await app.define(*CATEGORIES)
    await app.upload({name: f"@Refund:{50 + n % 7}" for n, name in enumerate(names)})
    await app.drain()
    return app


async def listed(app: App, query: DocumentQuery, top: int = 7) -> list[Document]:
    """All documents of a list, page by page."""
    found: list[Document] = []
    token = None
    while True:
        _, page = await app.container.documents.list("p", query, top, token)
        found += page.documents
        token = page.token
        if token is None:
            return found


def on_one_page(size: int) -> list[str]:
    """Names of documents that share a page."""
    pages: dict[int, list[str]] = {}
    for number in count():
        name = f"d{number}.txt"
        names = pages.setdefault(page_of(document_id(name), DEFAULT_PAGES), [])
        names.append(name)
        if len(names) == size:
            return names
    raise AssertionError


@pytest.mark.parametrize("seed", range(4))
async def test_lists_are_those_of_a_new_process_whoever_wrote(seed: int) -> None:
    source = random.Random(seed)
    storage = MemoryStorage()
    names = [*on_one_page(3), *(f"x{n}.txt" for n in range(12))]
    apps = [await prepared(storage, names), in_process(storage)]
    for _ in range(12):
        writer, name = source.choice(apps), source.choice(names)
        documents, key = writer.container.documents, document_id(name)
        match source.randrange(5):
            case 0:
                await documents.set_labels("p", key, ANY_VERSION, None, "me")
            case 1:
                patch = DocumentPatch(dataset=source.choice(list(Dataset)))
                await documents.patch("p", key, ANY_VERSION, patch, "me")
            case 2:
                patch = DocumentPatch(flagged=source.choice([True, False]))
                await documents.patch("p", key, ANY_VERSION, patch, "me")
            case 3:
                await documents.patch(
                    "p", key, ANY_VERSION, DocumentPatch(language=source.choice(["de", "fr"])), "me"
                )
            case _:
                await writer.label(name, source.choice(CATEGORIES))
        for query in source.sample(QUERIES, 4):
            expected = await listed(in_process(storage), query, 100)
            for app in apps:
                assert await listed(app, query, source.choice([1, 3, 100])) == expected


async def test_a_list_reads_only_what_changed() -> None:
    storage = MemoryStorage(page_sizes=(10_000,))
    names = [f"x{n}.txt" for n in range(40)]
    reader, writer = await prepared(storage, names), in_process(storage)
    query = DocumentQuery(orderby="uncertainty")
    await listed(reader, query, 100)
    versions = {("table", "get"): 1, ("table", "query"): 1}  # the project, and the versions of pages

    before = storage.counter.snapshot()
    await listed(reader, query, 100)
    assert storage.counter.since(before) == versions

    await reader.label("x1.txt", "Login")
    before = storage.counter.snapshot()
    await listed(reader, query, 100)
    assert storage.counter.since(before) == versions

    await writer.label("x2.txt", "Login")
    before = storage.counter.snapshot()
    shown = await listed(reader, query, 100)
    assert storage.counter.since(before) == {("table", "get"): 3, ("table", "query"): 1}  # head and page, too
    assert {d.location for d in shown if d.labels} >= {"x1.txt", "x2.txt"}


async def test_the_head_is_written_only_when_it_changes() -> None:
    storage = MemoryStorage()
    inner, commits = storage.table("projects"), list[Sequence[Operation]]()
    reader = await prepared(storage, ["a.txt"])
    await listed(reader, DocumentQuery())

    class Watched(Repeating):
        @override
        async def commit(
            self, partition: str, operations: Sequence[Operation], *, at_once: bool = False
        ) -> list[str]:
            commits.append(operations)
            return await inner.commit(partition, operations)

    writer = in_process(storage, table=Watched(inner))
    key = document_id("a.txt")
    before = await inner.get((await project_of(reader)).incarnation, await head_of(reader, key))
    await writer.container.documents.patch("p", key, ANY_VERSION, DocumentPatch(language="fr"), "me")
    assert await inner.get((await project_of(reader)).incarnation, await head_of(reader, key)) == before
    assert [len(operations) for operations in commits] == [2]  # the page and its history
    assert [d.language for d in await listed(reader, DocumentQuery()) if d.id == key] == ["fr"]

    await writer.label("a.txt", "Login")
    assert [len(operations) for operations in commits] == [2, 3]
    assert "a.txt" in [d.location for d in await listed(reader, DocumentQuery(DocumentStatus.LABELED))]


async def project_of(app: App) -> Project:
    return await app.container.projects.get("p")


async def head_of(app: App, key: str) -> str:
    project = await project_of(app)
    return head_key(project.edition, page_of(key, project.pages))


@pytest.mark.parametrize("by_range", [False, True])
async def test_a_read_of_many_pages_leaves_the_event_loop_its_turn(by_range: bool) -> None:
    """A lease is renewed meanwhile: of a large project the pages take seconds to decode."""
    app = await prepared(MemoryStorage(), [f"{number}.txt" for number in range(40)])
    pages, scope = app.container.stores.pages, (await app.container.projects.get("p")).scope
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    read = (
        len(await pages.load_range(scope, 0, scope.pages))
        if by_range
        else len([page async for page in pages.scan(scope)])
    )
    other.cancel()
    assert turns >= read > 30


async def test_only_so_many_documents_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those remembered longest ago are forgotten; what is shown and saved is the same."""
    names = [f"{number}.txt" for number in range(60)]
    app = await prepared(MemoryStorage(), names)
    whole = [document.id for document in await listed(app, DocumentQuery())]
    monkeypatch.setattr(page_access, "KEPT_WEIGHT", 60)
    pages = app.container.stores.pages
    kept = pages._cache

    for _ in range(2):
        assert [document.id for document in await listed(app, DocumentQuery())] == whole
        for name in names[:10]:
            await app.label(name, "Login")
    documents = [document for page, _ in kept.values() if page for document in page.documents.values()]
    assert 5 < len(documents) <= 12
    assert pages._weight == sum(weight for _, weight in kept.values()) <= 60
    last = await app.document(names[9])
    assert last is not None
    assert last.id in {document.id for document in documents}
