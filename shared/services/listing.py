"""Lists of documents: which pages to read, in which order, and where the next page of the answer begins.

A list reads the heads, which tell status, dataset and confidence of every document, and then only the pages it shows.
Positions are keysets, so that a list stays exact while others review. A token bears the query it belongs to.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.domain.document import Document
from shared.domain.kinds import Dataset, DocumentStatus
from shared.domain.page import Entry, Head, Page, entry_of, page_of, uncertainty
from shared.domain.project import Project
from shared.services.paging import Key, make_token, read_token
from shared.storage.pages import PageStore

NO_SUGGESTIONS = 101  # after every confidence
CHUNK = 48


@dataclass(frozen=True, slots=True)
class DocumentQuery:
    """Filters of `GET P/documents`; None: any. `orderby`: id, location or uncertainty."""

    status: DocumentStatus | None = None
    dataset: Dataset | None = None
    category: str | None = None
    job_id: str | None = None
    location_prefix: str | None = None
    orderby: str = "id"


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Documents of one answer, and the token of the next one, if there is more."""

    documents: Sequence[Document]
    token: str | None


async def list_documents(
    pages: PageStore, project: Project, query: DocumentQuery, top: int, token: str | None
) -> DocumentPage:
    """At most `top` documents after the token's position. Raises InvalidArgument for a token of another query."""
    after = read_token(token, project, query) if token else None
    heads = [head for head in await pages.heads(project.scope) if head.entries]
    if query.orderby == "uncertainty":
        found = await _by_uncertainty(pages, project, query, heads, top + 1, after)
    elif query.orderby == "location":
        found = await _by_location(pages, project, query, heads, top + 1, after)
    else:
        found = await _by_id(pages, project, query, heads, top + 1, after)
    shown = found[:top]
    more = len(found) > top
    return DocumentPage([d for _, d in shown], make_token(shown[-1][0], project, query) if more else None)


async def _by_id(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    start = page_of(str(after[0]), project.pages) if after else 0
    candidates = [
        h for h in heads if h.number >= start and any(_may_match(e, project, query) for e in h.entries)
    ]
    found: list[tuple[Key, Document]] = []
    while candidates and len(found) < count:
        chunk = _enough(candidates, project, query, count - len(found))
        candidates = candidates[len(chunk) :]
        shown = await pages.show(project.scope, chunk)
        for number in sorted(shown):
            found.extend(
                ((d.id,), d)
                for d in shown[number].documents.values()
                if _matches(d, project, query) and _is_after((d.id,), after)
            )
    return found[:count]


def _enough(candidates: list[Head], project: Project, query: DocumentQuery, count: int) -> list[Head]:
    """As many pages as hold `count` documents by their heads; at most CHUNK, for other filters may thin them out."""
    total = 0
    for index, head in enumerate(candidates[:CHUNK]):
        total += sum(1 for e in head.entries if _may_match(e, project, query))
        if total >= count:
            return candidates[: index + 1]
    return candidates[:CHUNK]


async def _by_location(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    candidates = [h for h in heads if any(_may_match(e, project, query) for e in h.entries)]
    shown = await pages.show(project.scope, candidates)
    matching = (
        ((d.location,), d)
        for page in shown.values()
        for d in page.documents.values()
        if _matches(d, project, query) and _is_after((d.location,), after)
    )
    return heapq.nsmallest(count, matching, key=lambda one: one[0])


async def _by_uncertainty(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    """By confidence, then id; a page and the place in it order as the id does, so heads are enough to choose."""
    found: list[tuple[Key, Document]] = []
    position: Key | None = after
    while len(found) < count:
        # Entries of the position's own page and confidence may come again: heads do not tell their ids.
        wanted: int = count - len(found) + _ties(heads, project, position)
        chosen: list[tuple[int, int, int]] = heapq.nsmallest(
            wanted, _uncertain(heads, project, query, position)
        )
        numbers = {number for _, number, _ in chosen}
        shown = await pages.show(project.scope, [h for h in heads if h.number in numbers])
        stale = [h for h in heads if h.number in numbers and shown[h.number].seq != h.seq]
        if stale:  # somebody wrote between our reads: order again by what the pages hold now
            heads = [_head_of(shown[h.number], project) if h in stale else h for h in heads]
            continue
        for confidence, number, place in chosen:
            document = list(shown[number].documents.values())[place]
            key = _key(confidence, document)
            if not _is_after(key, position):
                continue
            position = key
            if _matches(document, project, query):
                found.append((key, document))
        if len(chosen) < wanted:
            break
    return found[:count]


def _key(confidence: int, document: Document) -> Key:
    return confidence, document.id


def _is_after(key: Key, position: Key | None) -> bool:
    return position is None or key > position


def _ties(heads: Iterable[Head], project: Project, position: Key | None) -> int:
    if position is None:
        return 0
    number = page_of(str(position[1]), project.pages)
    head = next((h for h in heads if h.number == number), None)
    return sum(1 for e in head.entries if _confidence(e, project) == position[0]) if head else 0


def _confidence(entry: Entry, project: Project) -> int:
    return entry.confidence if entry.suggested(project.generation) else NO_SUGGESTIONS


def _uncertain(
    heads: Iterable[Head], project: Project, query: DocumentQuery, after: Key | None
) -> Iterable[tuple[int, int, int]]:
    """(confidence, page, place) of each document that may match and comes after the position."""
    floor = int(after[0]) if after else -1
    last_id = str(after[1]) if after else ""
    last_page = page_of(last_id, project.pages) if after else -1
    for head in heads:
        for place, entry in enumerate(head.entries):
            confidence = _confidence(entry, project)
            if confidence < floor or not _may_match(entry, project, query):
                continue
            if confidence == floor and (head.number < last_page):
                continue
            yield confidence, head.number, place


def _head_of(page: Page, project: Project) -> Head:
    order = uncertainty(project)
    return Head(page.number, page.seq, tuple(entry_of(d, order) for d in page.documents.values()))


def _may_match(entry: Entry, project: Project, query: DocumentQuery) -> bool:
    """By what a head tells; the other filters need the document."""
    if query.dataset is not None and entry.dataset is not query.dataset:
        return False
    return query.status is None or entry.status(project.generation, project.active_studio) is query.status


def _matches(document: Document, project: Project, query: DocumentQuery) -> bool:
    pending = document.pending(project.generation)
    labels = document.active_labels(project.active_studio)
    checks: tuple[tuple[Any, Callable[[], bool]], ...] = (
        (query.status, lambda: document.status(project.generation, project.active_studio) is query.status),
        (query.dataset, lambda: document.dataset is query.dataset),
        (query.location_prefix, lambda: document.location.startswith(query.location_prefix or "")),
        (query.job_id, lambda: pending is not None and pending.job_id == query.job_id),
        (
            query.category,
            lambda: (
                (pending is not None and any(s.category == query.category for s in pending.items))
                or (labels is not None and query.category in set(labels.used_categories()))
            ),
        ),
    )
    return all(value is None or check() for value, check in checks)
