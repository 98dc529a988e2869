"""Lists: which pages to read, in which order, and where the next page of the response begins.

A list of documents has the heads, which tell status, dataset and confidence of every document, and reads only the
pages it shows. Positions are keysets, so that a list stays exact while others review. A continuation token is a
position, signed with the query that it belongs to, and refused for any other.
"""

import heapq
import hmac
import json
import re
from array import array
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from shared.domain.document import Document
from shared.domain.errors import InvalidArgument
from shared.domain.jobs import Job
from shared.domain.labels import Suggestion
from shared.domain.names import Dataset, DocumentStatus, ProjectKind
from shared.domain.page import Entry, Flag, Head, Page, entry_of, page_of, uncertainty
from shared.domain.project import Project
from shared.storage.pages import PageStore

_TOKEN = re.compile("[A-Za-z0-9_-]+")

type Key = tuple[int | str, ...]


def make_token(position: Key, project: Project, query: object) -> str:
    body = json.dumps(position).encode()
    return urlsafe_b64encode(_sign(body, project, query) + body).decode().rstrip("=")


def read_token(token: str, project: Project, query: object) -> Key:
    """The position. Raises InvalidArgument when the token was altered, or belongs to another query or project."""
    invalid = InvalidArgument(
        "The continuationToken belongs to a different query; repeat the query that returned it.",
        target="continuationToken",
    )
    if not _TOKEN.fullmatch(token):  # the decoder passes over what is no letter of its alphabet
        raise invalid
    try:
        data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise invalid from error
    signature, body = data[:16], data[16:]
    if not hmac.compare_digest(signature, _sign(body, project, query)):
        raise invalid
    return tuple(json.loads(body))


def paginate[T](
    items: Sequence[T], key: Callable[[T], Key], top: int, token: str | None, project: Project, query: object
) -> tuple[list[T], str | None]:
    """The items of one answer in the order of `key`, which no two share, and the token of the next answer."""
    after = read_token(token, project, query) if token else None
    rest = sorted((item for item in items if after is None or key(item) > after), key=key)
    shown = rest[:top]
    return shown, make_token(key(shown[-1]), project, query) if len(rest) > top else None


def newest_first(job: Job) -> Key:
    """The key of lists of jobs."""
    return -int(job.created.timestamp() * 1_000_000), job.id


def _sign(body: bytes, project: Project, query: object) -> bytes:
    """The incarnation is never sent to clients, so it can be the secret."""
    text = json.dumps([project.name, project.edition, str(query)]).encode()
    return hmac.digest(project.incarnation.encode(), text + b"\0" + body, sha256)[:16]


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
    flagged: bool | None = None
    #: "": documents that are assigned to nobody.
    assignee: str | None = None
    orderby: str = "id"
    #: Hundredths, both ends included: documents with a suggestion in this range, of `category` where that is given.
    min_confidence: int | None = None
    max_confidence: int | None = None
    #: Model, expected and predicted category of an evaluation, and the ids of the documents that it counts there.
    evaluated: tuple[str | None, ...] = ()
    only: frozenset[str] | None = field(default=None, repr=False)

    def require_range(self) -> None:
        """Raises InvalidArgument for a range of confidence that holds nothing."""
        if self.low > self.high:
            raise InvalidArgument(
                "'minConfidence' must not be greater than 'maxConfidence'.", target="minConfidence"
            )

    @property
    def has_range(self) -> bool:
        return self.min_confidence is not None or self.max_confidence is not None

    @property
    def low(self) -> int:
        return 0 if self.min_confidence is None else self.min_confidence

    @property
    def high(self) -> int:
        return 100 if self.max_confidence is None else self.max_confidence

    @property
    def by_heads(self) -> bool:
        """Whether heads alone tell which documents match."""
        asked = self.category, self.job_id, self.location_prefix
        return not self.has_range and self.only is None and all(value is None for value in asked)


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Documents of one response, the token of the next one, if there is more, and how many match, if requested."""

    documents: Sequence[Document]
    token: str | None
    count: int | None = None


async def list_documents(
    pages: PageStore,
    project: Project,
    query: DocumentQuery,
    top: int,
    token: str | None,
    *,
    count: bool = False,
) -> DocumentPage:
    """At most `top` documents after the token's position. Raises InvalidArgument for a token of another query."""
    after = read_token(token, project, query) if token else None
    heads = await heads_for(pages, project, query)
    found = await select_documents(pages, project, query, heads, top + 1, after)
    shown = found[:top]
    next_token = make_token(shown[-1][0], project, query) if len(found) > top else None
    matching = await count_documents(pages, project, query, heads) if count else None
    return DocumentPage([d for _, d in shown], next_token, matching)


async def heads_for(pages: PageStore, project: Project, query: DocumentQuery) -> list[Head]:
    """Heads of the pages that can have documents of the list."""
    heads = [head for head in await pages.heads(project.scope) if head.entries]
    if query.only is None:
        return heads
    numbers = {page_of(key, project.pages) for key in query.only}
    return [head for head in heads if head.number in numbers]


async def select_documents(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    """The first `count` documents that match and come after the position, each with its position."""
    if query.orderby == "uncertainty":
        return await _by_uncertainty(pages, project, query, heads, count, after)
    if query.orderby == "location":
        return await _by_location(pages, project, query, heads, count, after)
    return await _by_id(pages, project, query, heads, count, after)


async def count_documents(
    pages: PageStore, project: Project, query: DocumentQuery, heads: Iterable[Head]
) -> int:
    """How many documents match; reads pages only where heads do not tell."""
    if query.by_heads:
        return sum(len(_matching(head, project, query)) for head in heads)
    candidates = [head for head in heads if _matching(head, project, query)]
    shown = await pages.show(project.scope, candidates)
    return sum(_matches(d, project, query) for page in shown.values() for d in page.documents.values())


async def _by_id(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    start = page_of(str(after[0]), project.pages) if after else 0
    candidates = [h for h in heads if h.number >= start and _matching(h, project, query)]
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
        total += len(_matching(head, project, query))
        if total >= count:
            return candidates[: index + 1]
    return candidates[:CHUNK]


async def _by_location(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    candidates = [h for h in heads if _matching(h, project, query)]
    shown = await pages.show(project.scope, candidates)
    matching = (
        ((d.location,), d)
        for page in shown.values()
        for d in page.documents.values()
        if _matches(d, project, query) and _is_after((d.location,), after)
    )
    return heapq.nsmallest(count, matching, key=lambda pair: pair[0])


async def _by_uncertainty(
    pages: PageStore, project: Project, query: DocumentQuery, heads: list[Head], count: int, after: Key | None
) -> list[tuple[Key, Document]]:
    """By confidence, then id; a page and the place in it order as the id does, so heads are enough to choose."""
    found: list[tuple[Key, Document]] = []
    position: Key | None = after
    while len(found) < count:
        # Entries of the position's own page and confidence may come again: heads do not tell their ids.
        wanted: int = count - len(found) + _ties(heads, project, position)
        chosen = _most_uncertain(heads, project, query, position, wanted)
        numbers = {number for _, number, _ in chosen}
        shown = await pages.show(project.scope, [h for h in heads if h.number in numbers])
        stale = [h for h in heads if h.number in numbers and shown[h.number].seq != h.seq]
        if stale:  # pages changed between the reads: sort again by their current content
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


def _most_uncertain(
    heads: Iterable[Head], project: Project, query: DocumentQuery, after: Key | None, count: int
) -> list[tuple[int, int, int]]:
    """(confidence, page, place) of documents that may match and come after the position, the first `count`."""
    floor = int(after[0]) if after else 0
    last_page = page_of(str(after[1]), project.pages) if after else -1
    rest: list[tuple[int, int, array[int]]] = []  # the first of a page that counts, and its index
    for head in heads:
        order = _matching(head, project, query)
        start = bisect_left(order, _code(floor + (head.number < last_page), 0, 0)) if after else 0
        if start < len(order):
            rest.append((order[start], start, order))
    # Each page is in order: no other pages have any of the first `count`.
    first = heapq.nsmallest(count, rest, key=lambda entry: entry[0])
    codes = sorted(code for _, start, order in first for code in order[start : start + count])
    return [(code >> 40, code >> 20 & _MASK, code & _MASK) for code in codes[:count]]


_MASK = (1 << 20) - 1
#: Queries of which a head remembers its matching entries; as many as the tabs of a review page.
_REMEMBERED = 8


def _code(confidence: int, number: int, place: int) -> int:
    """One number that sorts like the three."""
    return confidence << 40 | number << 20 | place


def _matching(head: Head, project: Project, query: DocumentQuery) -> "array[int]":
    """The codes of the entries that may match, in order. The head remembers them."""
    limits = query.min_confidence, query.max_confidence
    filters = query.status, query.dataset, query.flagged, query.assignee
    asked = project.generation, project.active_studio, filters, limits
    found = head.derived.get(asked)
    if found is None:
        if len(head.derived) >= _REMEMBERED:
            head.derived.clear()
        codes = (
            _code(_confidence(entry, project), head.number, place)
            for place, entry in enumerate(head.entries)
            if _may_match(entry, project, query)
        )
        found = head.derived[asked] = array("q", sorted(codes))
    return found


def _head_of(page: Page, project: Project) -> Head:
    order = uncertainty(project)
    return Head(page.number, page.seq, tuple(entry_of(d, order) for d in page.documents.values()))


def _may_match(entry: Entry, project: Project, query: DocumentQuery) -> bool:
    """The filters that a head can answer; the others need the document."""
    if query.dataset is not None and entry.dataset is not query.dataset:
        return False
    if query.flagged is not None and bool(entry.flags & Flag.FLAGGED) is not query.flagged:
        return False
    if query.assignee is not None and entry.assignee != query.assignee:
        return False
    if query.has_range:
        if not entry.suggested(project.generation):
            return False
        # A head has the lowest confidence of entities and the highest of classes.
        entities = project.kind is ProjectKind.ENTITIES
        if entry.confidence > query.high if entities else entry.confidence < query.low:
            return False
    return query.status is None or entry.status(project.generation, project.active_studio) is query.status


def _matches(document: Document, project: Project, query: DocumentQuery) -> bool:
    if query.only is not None and document.id not in query.only:
        return False
    if query.dataset is not None and document.dataset is not query.dataset:
        return False
    if query.flagged is not None and document.flagged is not query.flagged:
        return False
    if query.assignee is not None and document.assignee != query.assignee:
        return False
    if query.location_prefix is not None and not document.location.startswith(query.location_prefix):
        return False
    if query.status not in {None, document.status(project.generation, project.active_studio)}:
        return False
    pending = document.pending(project.generation)
    if query.job_id is not None and (pending is None or pending.job_id != query.job_id):
        return False
    if query.has_range:
        return pending is not None and any(_in_range(s, query) for s in pending.items)
    if query.category is None:
        return True
    labels = document.active_labels(project.active_studio)
    return (pending is not None and any(s.category == query.category for s in pending.items)) or (
        labels is not None and query.category in set(labels.used_categories())
    )


def _in_range(suggestion: Suggestion, query: DocumentQuery) -> bool:
    within = query.low <= suggestion.confidence <= query.high
    return within and query.category in {None, suggestion.category}
