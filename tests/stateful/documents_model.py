"""What a project should hold, said as simply as it can be: the rules of documents, jobs, reviews and training."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from shared.domain.kinds import ProjectKind

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


@dataclass
class Doc:
    text: str
    labels: Marks | None = None
    changed: bool = False
    pending: Marks = ()
    rejected: frozenset[tuple[str, Mark]] = frozenset()
    before: Before | None = None
    #: How many jobs have made suggestions for it.
    jobs: int = 0


class Model:
    """`blobs` is what lies in the container, `docs` what the project knows, `told` what events it was sent."""

    def __init__(self, kind: ProjectKind) -> None:
        self.kind = kind
        self.blobs: dict[str, str] = {}
        self.docs: dict[str, Doc] = {}
        self.told: set[str] = set()
        #: What was rejected in documents that are gone, should they come back (A4).
        self.gone: dict[str, frozenset[tuple[str, Mark]]] = {}
        self.categories: set[str] = set()
        self.trained = False

    # Content

    def look(self, locations: Iterable[str]) -> None:
        """Fold what lies there into what is known (D2, D3)."""
        for location in locations:
            text, doc = self.blobs.get(location), self.docs.get(location)
            if text is None:
                if (gone := self.docs.pop(location, None)) is not None:
                    self.gone[location] = gone.rejected
            elif doc is None:
                self.docs[location] = Doc(text, rejected=self.gone.pop(location, frozenset()))
            elif doc.text != text:
                doc.text, doc.pending, doc.before = text, (), None
                doc.changed = doc.changed or doc.labels is not None

    def deliver_events(self) -> None:
        self.look(self.told)
        self.told.clear()

    def reconcile(self) -> None:
        self.look({*self.blobs, *self.docs})
        self.told.clear()

    # Suggestions

    @property
    def ready(self) -> bool:
        return self.trained or any(doc.labels is not None for doc in self.docs.values())

    def unlabeled(self) -> list[str]:
        return [key for key, doc in self.docs.items() if doc.labels is None and not doc.pending]

    def suggest(self, locations: Sequence[str]) -> None:
        """A job over these documents (A3, A4, A9)."""
        if not self.ready:
            return
        self.look(locations)
        for doc in (self.docs[one] for one in locations if one in self.docs):
            if self.kind is ProjectKind.SINGLE_LABEL and doc.labels is not None:
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
        ends = [(one.offset, one.offset + one.length) for one in labels or ()]
        return not any(start < mark.offset + mark.length and mark.offset < end for start, end in ends)

    # People

    def set_labels(self, location: str, labels: Marks | None) -> None:
        doc = self.docs[location]
        self.categories.update(one.category for one in labels or ())
        doc.labels, doc.changed, doc.before = labels, False, None
        doc.pending = tuple(one for one in doc.pending if self.fits(labels, one))

    def decide(self, doc: Doc, accept: Marks, reject: Marks, job: str | None = None) -> None:
        """A decision on some pending suggestions (V1)."""
        doc.before = Before(job, doc.labels, doc.pending, doc.rejected, doc.changed, doc.jobs)
        doc.rejected |= {(doc.text, one) for one in reject}
        if accept:
            doc.labels = (*(doc.labels or ()), *accept)
        gone = {*accept, *reject}
        doc.pending = tuple(one for one in doc.pending if one not in gone and self.fits(doc.labels, one))

    def decide_all(self, *, accept: bool, least: int, job: str) -> int:
        """A bulk decision (V3); how many suggestions match."""
        matched = 0
        for doc in self.docs.values():
            chosen = tuple(one for one in doc.pending if one.confidence >= least)
            matched += len(chosen)
            if chosen:
                self.decide(doc, chosen if accept else (), () if accept else chosen, job)
        return matched

    def undo(self, wanted: Callable[[Before], bool]) -> int:
        """Take decisions back (V4); of how many documents."""
        undone = 0
        for doc in self.docs.values():
            if doc.before is not None and wanted(doc.before):
                last = doc.before
                doc.labels, doc.rejected, doc.before = last.labels, last.rejected, None
                doc.changed = doc.changed and last.changed
                if doc.jobs == last.jobs or not doc.pending:
                    doc.pending = last.pending
                else:  # a later job's suggestions stay
                    doc.pending = tuple(one for one in doc.pending if self.fits(last.labels, one))
                undone += 1
        return undone

    def train(self) -> None:
        """Every suggestion is gone, and nothing can be undone (T4)."""
        for doc in self.docs.values():
            doc.pending, doc.before = (), None
