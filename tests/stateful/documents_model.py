"""A simple model of a project: the rules of documents, jobs, reviews and training."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from shared.domain.names import ProjectKind

TOKEN = re.compile(r"@(\w+):(\d+)")


@dataclass(frozen=True, order=True)
class Mark:
    """A label or a suggestion; offset and length only of entities, confidence only of suggestions."""

    category: str
    offset: int = 0
    length: int = 0
    confidence: int = field(default=0, compare=False)


type Marks = tuple[Mark, ...]


@dataclass(frozen=True)
class Before:
    """What an undo brings back."""

    job: str | None
    labels: Marks | None
    pending: Marks
    rejected: frozenset[tuple[str, Mark]]
    changed: bool
    jobs: int
    by_hand: bool = False
    #: What a second undo brings back.
    earlier: "Before | None" = None
    #: Whether the text changed since, and then the text that the labels were set for; None: not known.
    outdated: bool = False
    former: str | None = None


@dataclass
class Doc:
    text: str
    labels: Marks | None = None
    changed: bool = False
    #: The text that was labeled, while `changed`; None: not known.
    labeled: str | None = None
    missing: bool = False
    pending: Marks = ()
    rejected: frozenset[tuple[str, Mark]] = frozenset()
    before: Before | None = None
    #: How many jobs have made suggestions for it.
    jobs: int = 0


class Model:
    """`blobs` is what lies in the container, `docs` what the project knows, `announced` the locations of its events."""

    def __init__(self, kind: ProjectKind) -> None:
        self.kind = kind
        self.blobs: dict[str, str] = {}
        self.docs: dict[str, Doc] = {}
        self.announced: set[str] = set()
        #: What was rejected in documents that are gone, should they come back (A4).
        self.gone: dict[str, frozenset[tuple[str, Mark]]] = {}
        self.categories: set[str] = set()
        self.trained = False

    # Content

    def look(self, locations: Iterable[str]) -> None:
        """Update what is known from the blobs that lie there (D2, D3)."""
        for location in locations:
            text, doc = self.blobs.get(location), self.docs.get(location)
            if text is None:
                if doc is not None and doc.labels is not None:
                    doc.missing = True
                elif doc is not None:
                    self.gone[location] = self.docs.pop(location).rejected
            elif doc is None:
                self.docs[location] = Doc(text, rejected=self.gone.pop(location, frozenset()))
            else:
                doc.missing = False
                if doc.text != text:
                    self.overwrite(doc, text)

    def overwrite(self, doc: Doc, text: str) -> None:
        labeled = doc.labeled if doc.changed else doc.text
        doc.before = self._outdate(doc.before, doc.text)
        doc.text, doc.pending = text, ()
        if doc.labels is None or labeled is None:
            doc.labeled = None
        else:
            doc.changed = labeled != text
            doc.labeled = labeled if doc.changed else None

    def _outdate(self, before: Before | None, text: str) -> Before | None:
        if before is None or before.outdated:
            return before
        earlier = self._outdate(before.earlier, text)
        return replace(before, outdated=True, former=None if before.changed else text, earlier=earlier)

    def deliver_events(self) -> None:
        self.look(self.announced)
        self.announced.clear()

    def reconcile(self) -> None:
        """More removals than half of the documents wait for a person (D12)."""
        present = {location for location, doc in self.docs.items() if not doc.missing}
        gone = present - self.blobs.keys()
        cleared = {location for location, doc in self.docs.items() if doc.missing and doc.labels is None}
        self.look({*self.blobs, *cleared, *(gone if 2 * len(gone) <= len(present) else ())})
        self.announced.clear()

    # Suggestions

    @property
    def ready(self) -> bool:
        return self.trained or self.learnable > 0

    @property
    def learnable(self) -> int:
        """Documents that a training learns from: entities of a text that changed are at stale offsets."""
        return sum(map(self._teaches, self.docs.values()))

    @property
    def readable(self) -> int:
        """Of those, the documents whose blobs still hold the text that was labeled."""
        return sum(self._teaches(doc) and self.blobs.get(key) == doc.text for key, doc in self.docs.items())

    def _teaches(self, doc: Doc) -> bool:
        stale = self.kind is ProjectKind.ENTITIES and doc.changed
        return doc.labels is not None and not doc.missing and not stale

    def unlabeled(self) -> list[str]:
        return [
            key
            for key, doc in self.docs.items()
            if doc.labels is None and not doc.pending and not doc.missing
        ]

    def suggest(self, locations: Sequence[str]) -> None:
        """A job over these documents (A3, A4, A9); a listing decides which go with their blobs (D13)."""
        if not self.ready:
            return
        labeled = {location for location, doc in self.docs.items() if doc.labels is not None}
        self.look(place for place in locations if place in self.blobs or place in labeled)
        for doc in (self.docs[place] for place in locations if place in self.docs and place in self.blobs):
            if doc.missing or (self.kind is ProjectKind.SINGLE_LABEL and doc.labels is not None):
                continue
            doc.pending = self._chosen(doc)
            doc.jobs += 1

    def _chosen(self, doc: Doc) -> Marks:
        entities = self.kind is ProjectKind.ENTITIES
        best: dict[Mark, Mark] = {}
        for found in TOKEN.finditer(doc.text):
            start = len(doc.text[: found.start()].encode("utf-16-le")) // 2
            place = (start, len(found[0])) if entities else ()
            mark = Mark(found[1], *place, confidence=int(found[2]))
            if mark not in best or best[mark].confidence < mark.confidence:
                best[mark] = mark
        allowed = [
            mark
            for mark in best.values()
            if mark.category in self.categories
            and (doc.text, mark) not in doc.rejected
            and self.fits(doc.labels, mark)
        ]
        if entities:
            return tuple(sorted(allowed, key=lambda mark: mark.offset))
        ordered = sorted(allowed, key=lambda mark: (-mark.confidence, mark.category))
        return tuple(ordered[:1] if self.kind is ProjectKind.SINGLE_LABEL else ordered)

    def fits(self, labels: Marks | None, mark: Mark) -> bool:
        if self.kind is ProjectKind.SINGLE_LABEL:
            return labels is None
        if self.kind is ProjectKind.MULTI_LABEL:
            return mark not in (labels or ())
        ends = [(label.offset, label.offset + label.length) for label in labels or ()]
        return not any(start < mark.offset + mark.length and mark.offset < end for start, end in ends)

    # People

    def set_labels(self, location: str, labels: Marks | None) -> None:
        doc = self.docs[location]
        self.categories.update(label.category for label in labels or ())
        earlier = replace(doc.before, earlier=None) if doc.before else None
        doc.before = Before(
            None, doc.labels, doc.pending, doc.rejected, doc.changed, doc.jobs, by_hand=True, earlier=earlier
        )
        doc.labels, doc.changed, doc.labeled = labels, False, None
        doc.pending = tuple(suggestion for suggestion in doc.pending if self.fits(labels, suggestion))

    def decide(self, doc: Doc, accept: Marks, reject: Marks, job: str | None = None) -> None:
        """A decision on some pending suggestions (V1)."""
        doc.before = Before(job, doc.labels, doc.pending, doc.rejected, doc.changed, doc.jobs)
        doc.rejected |= {(doc.text, suggestion) for suggestion in reject}
        if accept:
            doc.labeled = None
            doc.labels = (*(doc.labels or ()), *accept)
        gone = {*accept, *reject}
        left = (suggestion for suggestion in doc.pending if suggestion not in gone)
        doc.pending = tuple(suggestion for suggestion in left if self.fits(doc.labels, suggestion))

    def decide_all(self, *, accept: bool, least: int, job: str) -> int:
        """A bulk decision (V3); how many suggestions match."""
        matched = 0
        for doc in self.docs.values():
            chosen = tuple(suggestion for suggestion in doc.pending if suggestion.confidence >= least)
            matched += len(chosen)
            if chosen:
                self.decide(doc, chosen if accept else (), () if accept else chosen, job)
        return matched

    def undo(self, wanted: Callable[[Before], bool]) -> int:
        """Undo the last change of labels (V4); of how many documents."""
        undone = 0
        for doc in self.docs.values():
            if doc.before is not None and wanted(doc.before):
                last = doc.before
                doc.labels, doc.rejected, doc.before = last.labels, last.rejected, last.earlier
                if last.outdated:
                    doc.changed = doc.labels is not None and last.former != doc.text
                    doc.labeled = last.former if doc.changed else None
                else:
                    doc.changed = last.changed and (last.by_hand or doc.changed)
                if doc.jobs == last.jobs or not doc.pending:
                    doc.pending = () if last.outdated else last.pending
                else:  # a later job's suggestions stay
                    doc.pending = tuple(
                        suggestion for suggestion in doc.pending if self.fits(last.labels, suggestion)
                    )
                undone += 1
        return undone

    def train(self) -> None:
        """Every suggestion is gone, and nothing can be undone (T4)."""
        for doc in self.docs.values():
            doc.pending, doc.before = (), None
