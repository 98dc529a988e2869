"""Rows made from remembered parts are those made from scratch, whoever wrote the page before."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.document import ANY_VERSION, Document, Undo, document_id
from shared.domain.errors import LabelbridgeError
from shared.domain.labels import EntityLabel, Hundredths, Labels, Region, Rejected, Suggestion, SuggestionSet
from shared.domain.names import Dataset, ProjectKind
from shared.domain.page import Page, page_of
from shared.domain.project import Project, Scope
from shared.domain.review import Decision
from shared.domain.text import Rejection
from shared.services.projects.categories import CategoryChange
from shared.services.review.bulk import BulkRequest
from shared.services.review.documents import DocumentPatch
from shared.services.review.service import Submitted
from shared.storage import page_codec
from shared.storage.page_access import _weight
from shared.storage.page_parts import OVERHEAD, PageParts, Part, head_of
from shared.storage.rows import head_key, page_key, to_json
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage
from tests.unit.storage.test_heads import on_one_page

NAMES = on_one_page(4)
PAGE = page_of(document_id(NAMES[0]), 1024)
CATEGORIES = ("Refund", "Login", "Ñandú 😀")

ACTIONS = """
label unlabel accept reject undo test flag note write delete rename bulk forget
""".split()

type Step = tuple[int, str, str, str]

steps = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.sampled_from(CATEGORIES)
    ),
    max_size=12,
)


async def _run(app: App, step: Step, number: int) -> None:
    _, action, name, category = step
    documents, key = app.container.documents, document_id(name)

    async def decide(decision: Decision) -> None:
        await app.container.review.save("p", [Submitted(decision, ANY_VERSION)], "me")

    def patch(change: DocumentPatch) -> Any:
        return documents.patch("p", key, ANY_VERSION, change, "me")

    async def bulk() -> None:
        await app.container.bulk.start("p", BulkRequest(accept=True), "me", f"bulk{number}")
        await app.drain()

    async def write() -> None:
        await app.upload({name: f"@{category}:{50 + number} text {number}"})
        await app.drain()

    async def delete() -> None:
        await app.blobs.delete(app.documents, name)
        await app.container.uploads.seen(app.documents, name)
        await app.drain()

    async def forget() -> None:
        app.container.stores.pages._parts = PageParts(OVERHEAD * number)

    actions: dict[str, Callable[[], Any]] = {
        "label": lambda: app.label(name, category),
        "unlabel": lambda: documents.set_labels("p", key, ANY_VERSION, None, "me"),
        "accept": lambda: decide(Decision(key, accept_all=True)),
        "reject": lambda: decide(Decision(key, reject_all=True)),
        "undo": lambda: documents.undo("p", key, ANY_VERSION, "me"),
        "test": lambda: patch(DocumentPatch(dataset=Dataset.TEST)),
        "flag": lambda: patch(DocumentPatch(flagged=True)),
        "note": lambda: patch(DocumentPatch(note=f'"{category}" {number}')),
        "write": write,
        "delete": delete,
        "rename": lambda: app.container.categories.put(
            "p", [CategoryChange(f"{category} {number}", None, category)], "me"
        ),
        "bulk": bulk,
        "forget": forget,
    }
    with suppress(LabelbridgeError):  # a step may have nothing to change
        await actions[action]()


async def _check(storage: MemoryStorage) -> None:
    """The rows of the page are what a process writes that has computed nothing of it before."""
    app = in_process(storage)
    project = await app.container.projects.get("p")
    scope, table = project.scope, storage.table("projects")
    row = await table.get(scope.incarnation, page_key(scope.edition, PAGE))
    head = await table.get(scope.incarnation, head_key(scope.edition, PAGE))
    assert row is not None
    assert head is not None
    page = await app.container.stores.pages.load(scope, PAGE)
    assert dict(row.values) == await page_codec.encode_page(page, "spill", _no_spill)
    expected = page_codec.summarize(page, project)
    assert replace(page_codec.decode_head(head), seq=page.seq) == expected
    # The head reads back as it was written.
    stored = page_codec.encode_head(page_codec.decode_head(head))
    assert dict(head.values) == stored


async def _no_spill(name: str, data: bytes) -> None:
    raise AssertionError(name)


async def _edit(made: Sequence[Step]) -> None:
    storage = MemoryStorage()
    apps = [in_process(storage), in_process(storage)]
    await apps[0].create()
    await apps[0].define(*CATEGORIES)
    await apps[0].upload({name: f"@Refund:{60 + n}" for n, name in enumerate(NAMES)})
    await apps[0].drain()
    for number, step in enumerate(made):
        await _run(apps[step[0]], step, number)
        await _check(storage)


@settings(max_examples=20)
@given(steps)
def test_rows_are_those_from_scratch_whichever_process_wrote(made: list[Step]) -> None:
    asyncio.run(_edit(made))


# The parts alone

texts = st.text(max_size=12)
numbers = st.integers(0, 500)
labels = st.one_of(
    st.none(),
    st.builds(Labels, st.lists(st.sampled_from(CATEGORIES), max_size=2, unique=True).map(tuple)),
    st.builds(
        Labels,
        regions=st.lists(
            st.builds(
                Region,
                numbers,
                numbers,
                st.lists(st.builds(EntityLabel, st.sampled_from(CATEGORIES), numbers, numbers)).map(tuple),
            ),
            max_size=2,
        ).map(tuple),
    ),
)
suggested = st.builds(
    SuggestionSet,
    texts,
    texts,
    st.one_of(st.none(), texts),
    st.integers(0, 2),
    texts,
    st.lists(
        st.builds(
            Suggestion,
            st.just("id"),
            st.sampled_from(CATEGORIES),
            st.integers(0, 100).map(Hundredths),
            numbers,
            st.integers(0, 5),
        ),
        max_size=3,
    ).map(tuple),
)
documents = st.builds(
    Document,
    id=st.sampled_from("abcde"),
    location=texts,
    language=texts,
    dataset=st.sampled_from(Dataset),
    content=texts,
    planned=texts,
    length=st.one_of(st.none(), numbers),
    characters=numbers,
    excerpt=texts,
    labels=labels,
    aml_labels=labels,
    content_changed=st.booleans(),
    missing=st.booleans(),
    rejection=st.one_of(st.none(), st.builds(Rejection, texts, texts)),
    suggestions=st.one_of(st.none(), suggested),
    flagged=st.booleans(),
    assignee=texts,
    note=texts,
)
pages = st.builds(
    lambda number, made: Page(number, {d.id: d for d in sorted(made, key=lambda d: d.id)}, seq=7),
    st.integers(0, 2),
    st.lists(documents, max_size=4),
)


def _project(kind: ProjectKind, edition: str) -> Project:
    async def create() -> Project:
        return replace(await in_process(MemoryStorage()).create(kind), edition=edition)

    return asyncio.run(create())


PROJECTS = [_project(kind, edition) for kind in ProjectKind for edition in ("e1", "e2")]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(pages, st.sampled_from(PROJECTS), st.booleans()), max_size=12),
    st.integers(0, 12 * OVERHEAD),
)
def test_parts_are_of_the_documents_as_they_are(asked: list[tuple[Page, Project, bool]], most: int) -> None:
    parts, last = PageParts(most), dict[tuple[Scope, int], Page]()
    for page, project, keep in asked:
        before = last.get((project.scope, page.number))
        if keep and before is not None:  # some documents are those of the last time, and some are new ones
            page = replace(page, documents={**before.documents, **page.documents})  # noqa: PLW2901
        last[project.scope, page.number] = page

        found = parts.of(project.scope, page, project)

        assert head_of(page, found) == page_codec.summarize(page, project)
        encode = page_codec.encode_page(page, "spill", _no_spill, [part.text for part in found])
        assert asyncio.run(encode) == asyncio.run(page_codec.encode_page(page, "spill", _no_spill))
        assert parts._size == sum(part.size for known in parts._pages.values() for part in known.values())
        assert parts._size <= most


SPANS = range(1_000, 1_300)
SUGGESTED = SuggestionSet(
    "r", "j", None, 1, "engine", tuple(Suggestion(f"id{n}", "Name", Hundredths(9), n, 300) for n in SPANS)
)
ENTITIES = Labels(regions=(Region(0, 9_000, tuple(EntityLabel("Name", n, 300) for n in SPANS)),))
REJECTED = frozenset(Rejected("h" * 22, "Name", n, 300) for n in SPANS)
UNDO = Undo(1, "j", None, None, frozenset(), content_changed=False)
CONTENTS: dict[str, dict[str, Any]] = {
    "few": {},
    "suggestions": {"suggestions": SUGGESTED},
    "entities": {"labels": ENTITIES},
    "of the other studio": {"labels": Labels(), "aml_labels": ENTITIES},
    "rejected": {"rejected": REJECTED},
    "undo": {"undo": replace(UNDO, suggestions=SUGGESTED)},
    "bulk reject": {"rejected": REJECTED, "undo": replace(UNDO, suggestions=SUGGESTED, rejected=REJECTED)},
    "earlier undo": {"undo": replace(UNDO, earlier=replace(UNDO, labels=ENTITIES))},
    "categories": {"labels": Labels(tuple(f"Category {n}" for n in SPANS))},
}


def _turned(document: Document, number: int) -> Document:
    """With its classes in an order of its own: documents with equal ones share them."""
    labels = document.labels
    if labels is None:
        return document
    turned = labels.categories[number:] + labels.categories[:number]
    return replace(document, labels=replace(labels, categories=turned))


@pytest.mark.parametrize("changes", CONTENTS.values(), ids=CONTENTS)
def test_what_is_remembered_counts_as_the_memory_that_it_takes(changes: dict[str, Any]) -> None:
    plain = Document(
        "a" * 22, "folder/name.txt", "en", blob_etag="e" * 20, content="h" * 22, excerpt="x" * 100
    )
    documents = [_turned(replace(plain, **changes), number) for number in range(20)]
    texts = [to_json(page_codec.encode_document(document)) for document in documents]

    def read() -> list[Document]:
        return [page_codec.decode_document(json.loads(text)) for text in texts]

    Part.of(read()[0], lambda _: None)  # what is created only once
    page_codec._classes.cache_clear()
    gc.collect()
    tracemalloc.start()
    try:
        found = read()
        gc.collect()
        of_documents, _ = tracemalloc.get_traced_memory()
        parts = [Part.of(document, lambda _: None) for document in found]
        gc.collect()
        with_parts, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    page = Page(0, {str(number): document for number, document in enumerate(found)})
    # A weight of 100,000 is about 20 MiB, as `KEPT_WEIGHT` says.
    assert 100 < of_documents / _weight(page) < 250
    assert 0.6 < with_parts / sum(part.size for part in parts) < 1.15


def test_documents_share_what_is_equal_in_most_of_them() -> None:
    made = SuggestionSet(
        "job-of-both",
        "an-engine",
        "a-model",
        1,
        "made-by-both",
        (Suggestion("id", "Name", Hundredths(9), 0, 0),),
    )
    undo = replace(UNDO, labels=Labels(("Name",)), suggestions=made)
    plain = Document("a" * 22, "name.txt", "en-us", revision="of-both", labels=Labels(("Name",)))
    text = to_json(page_codec.encode_document(replace(plain, suggestions=made, undo=undo)))
    one, other = (page_codec.decode_document(json.loads(text)) for _ in range(2))

    def shared(document: Document) -> list[object]:
        assert document.labels is not None
        assert document.suggestions is not None
        assert document.undo is not None
        assert document.undo.labels is not None
        found = document.suggestions
        return [
            document.language, document.revision, document.rejected, document.undo.rejected,
            document.labels, document.undo.labels,
            found.job_id, found.engine, found.model, found.revision, found.items[0].category,
        ]  # fmt: skip

    assert one == other
    assert [a is b for a, b in zip(shared(one), shared(other), strict=True)] == [True] * 11


def test_a_part_is_computed_again_only_for_another_document() -> None:
    parts, project = PageParts(), PROJECTS[0]
    one, other = Document("a", "a.txt", "de"), Document("b", "b.txt", "de")
    page = Page(0, {"a": one, "b": other})
    before = parts.of(project.scope, page, project)

    changed = Page(0, {"a": replace(one, note="now"), "b": other})
    after = parts.of(project.scope, changed, project)

    assert after[0].text != before[0].text
    assert after[1] is before[1]


async def test_a_page_with_a_document_too_large_for_its_row_is_written() -> None:
    storage = MemoryStorage()
    app = in_process(storage)
    await app.create()
    await app.upload({NAMES[0]: "text", NAMES[1]: "text"})
    await app.drain()
    project = await app.container.projects.get("p")
    page = await app.container.stores.pages.load(project.scope, PAGE)
    large = "".join(chr(0x4E00 + n * 7 % 20_000) for n in range(500_000))
    [first, second] = page.documents.values()
    page = replace(page, documents={first.id: replace(first, note=large), second.id: second})
    written: list[str] = []

    async def spill(name: str, data: bytes) -> None:
        written.append(name)

    found = PageParts().of(project.scope, page, project)
    values = await page_codec.encode_page(page, "spill", spill, [part.text for part in found])

    assert len(written) == 1
    assert values == await page_codec.encode_page(page, "spill", spill)
