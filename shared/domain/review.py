"""Decisions of a reviewer on the suggestions of one document (rules V1, V2, V4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.domain.document import Document, Undo
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.kinds import ProjectKind
from shared.domain.labels import EntityLabel, Labels, add_category, add_entity
from shared.domain.suggestions import Rejected, Suggestion, SuggestionSet, fits

#: Width of a confidence band of the calibration picture, in hundredths; the last band ends at 100.
BAND = 10
BANDS = 10


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer decided about one document. Suggestions not named stay pending."""

    document_id: str
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    accept_all: bool = False
    reject_all: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """The document after a decision, and what was accepted and rejected (for the history and the calibration)."""

    document: Document
    before: Labels | None
    accepted: tuple[Suggestion, ...]
    rejected: tuple[Suggestion, ...]
    source: SuggestionSet

    def tallies(self) -> tuple[tuple[int, bool], ...]:
        """(confidence band, accepted?) of each decided suggestion."""
        return (
            *((band(s.confidence), True) for s in self.accepted),
            *((band(s.confidence), False) for s in self.rejected),
        )


def band(confidence: int) -> int:
    return min(confidence // BAND, BANDS - 1)


def decide(
    document: Document,
    decision: Decision,
    kind: ProjectKind,
    generation: int,
    revision: str,
    job_id: str | None = None,
) -> Decided:
    """Apply a decision whole or not at all. Labels of changed content stay flagged: it confirms none of them (D2).

    Raises InvalidArgument when a suggestion is named twice or does not exist, or when accepted ones exclude each other.
    """
    pending = document.pending(generation)
    accepted, rejected = _chosen(decision, pending)
    if pending is None or not (accepted or rejected):
        raise InvalidArgument("The decision names no pending suggestion.")
    taken = frozenset(s.id for s in (*accepted, *rejected))
    labels = document.labels
    for suggestion in accepted:
        labels = _accept(document, kind, labels, suggestion)
    left = tuple(s for s in pending.items if s.id not in taken and fits(kind, labels, s))
    decided = Decided(document, document.labels, accepted, rejected, pending)
    after = replace(
        document,
        revision=revision,
        labels=labels,
        suggestions=replace(pending, items=left, revision=revision),
        rejected=document.rejected | {Rejected.of(s, document.content) for s in rejected},
        undo=Undo(
            generation=generation,
            job_id=job_id,
            labels=document.labels,
            suggestions=pending,
            rejected=document.rejected,
            content_changed=document.content_changed,
            tallies=decided.tallies(),
        ),
    )
    return replace(decided, document=after)


def undo(document: Document, kind: ProjectKind, generation: int, revision: str) -> Document:
    """The document before its last decision. Raises Conflict when there is none to take back."""
    last = document.undo
    if last is None or last.generation != generation:
        raise Conflict(
            "There is no decision on this document that can be undone (training ends what can be undone).",
            target="documentId",
        )
    return replace(
        document,
        revision=revision,
        labels=last.labels,
        suggestions=_suggestions_after_undo(document, last, kind, revision),
        rejected=last.rejected,
        content_changed=document.content_changed and last.content_changed,
        undo=None,
    )


def _suggestions_after_undo(
    document: Document, last: Undo, kind: ProjectKind, revision: str
) -> SuggestionSet | None:
    """Those that were there before it, unless those of a later job are there now: these stay (A9)."""
    before, now = last.suggestions, document.suggestions
    if now is None or not now.items or (before is not None and now.job_id == before.job_id):
        return replace(before, revision=revision) if before else None
    return replace(now, items=tuple(s for s in now.items if fits(kind, last.labels, s)), revision=revision)


def _chosen(
    decision: Decision, pending: SuggestionSet | None
) -> tuple[tuple[Suggestion, ...], tuple[Suggestion, ...]]:
    known = {s.id: s for s in pending.items} if pending else {}
    _check_names(decision, known)
    if decision.accept_all:
        named = set(decision.reject)
        return tuple(s for s in known.values() if s.id not in named), tuple(known[i] for i in decision.reject)
    if decision.reject_all:
        named = set(decision.accept)
        return tuple(known[i] for i in decision.accept), tuple(s for s in known.values() if s.id not in named)
    return tuple(known[i] for i in decision.accept), tuple(known[i] for i in decision.reject)


def _check_names(decision: Decision, known: dict[str, Suggestion]) -> None:
    if decision.accept_all and decision.reject_all:
        raise InvalidArgument("'acceptAll' and 'rejectAll' exclude each other.", target="acceptAll")
    seen: set[str] = set()
    for field, ids in (("accept", decision.accept), ("reject", decision.reject)):
        for one in ids:
            if one in seen:
                raise InvalidArgument(f"The suggestion '{one}' is named twice.", target=field)
            if one not in known:
                raise InvalidArgument(f"The document has no pending suggestion '{one}'.", target=field)
            seen.add(one)


def _accept(document: Document, kind: ProjectKind, labels: Labels | None, suggestion: Suggestion) -> Labels:
    if not fits(kind, labels, suggestion):
        raise InvalidArgument(
            f"The suggestion '{suggestion.category}' contradicts a label of the document or another accepted one.",
            target="accept",
        )
    if kind is not ProjectKind.ENTITIES:
        return add_category(kind, labels, suggestion.category)
    entity = EntityLabel(suggestion.category, suggestion.offset, suggestion.length)
    return add_entity(labels, entity, document.length or 0)


def suggestion_order(items: Sequence[Suggestion], kind: ProjectKind) -> int | None:
    """Uncertainty of a document in hundredths: the highest confidence of a classification, the lowest of entities."""
    if not items:
        return None
    choose = min if kind is ProjectKind.ENTITIES else max
    return choose(s.confidence for s in items)
