"""Decisions of a reviewer on the suggestions of one document (rules V1, V2, V4)."""

from dataclasses import dataclass, replace

from shared.domain.document import Document, Undo, with_changes
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.labels import (
    RAW_BANDS,
    EntityLabel,
    Labels,
    Rejected,
    Suggestion,
    SuggestionSet,
    add_category,
    add_entities,
    band,
    first_overlap,
    fits,
    fitting,
)
from shared.domain.names import ProjectKind


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

    #: (confidence band, accepted?) of each decided suggestion; where there is a raw confidence, also of that.
    tallies: tuple[tuple[int, bool], ...]


def decide(
    document: Document,
    decision: Decision,
    kind: ProjectKind,
    generation: int,
    revision: str,
    job_id: str | None = None,
) -> Decided:
    """Apply a decision completely or not at all. Labels of changed content stay flagged (D2).

    Raises InvalidArgument when a suggestion is named twice or does not exist, or when accepted ones conflict with each
    other.
    """
    pending = document.pending(generation)
    accepted, rejected = _chosen(decision, pending)
    if pending is None or not (accepted or rejected):
        raise InvalidArgument("The decision contains no pending suggestion.")
    taken = frozenset(s.id for s in (*accepted, *rejected))
    labels = _accept(document, kind, accepted)
    left = fitting(kind, labels, [s for s in pending.items if s.id not in taken])
    tallies = _tallies(accepted, rejected)
    after = with_changes(
        document,
        revision=revision,
        labels=labels,
        labeled_content=""
        if accepted
        else document.labeled_content,  # what is accepted is of the content now
        suggestions=with_changes(pending, items=left, revision=revision),
        rejected=document.rejected | {Rejected.of(s, document.content) for s in rejected}
        if rejected
        else document.rejected,
        undo=Undo(
            generation=generation,
            job_id=job_id,
            labels=document.labels,
            suggestions=pending,
            rejected=document.rejected,
            content_changed=document.content_changed,
            tallies=tallies,
        ),
    )
    return Decided(after, document.labels, accepted, rejected, pending, tallies)


def _tallies(
    accepted: tuple[Suggestion, ...], rejected: tuple[Suggestion, ...]
) -> tuple[tuple[int, bool], ...]:
    decided = (*((s, True) for s in accepted), *((s, False) for s in rejected))
    return (
        *((band(s.confidence), taken) for s, taken in decided),
        *((RAW_BANDS + band(s.raw), taken) for s, taken in decided if s.raw is not None),
    )


def undo(document: Document, kind: ProjectKind, generation: int, revision: str) -> Document:
    """The document before the last change of its labels. Raises Conflict when there is nothing to undo."""
    last = document.undo
    if last is None or last.generation != generation:
        raise Conflict(_nothing_to_undo(last), target="documentId")
    undone = with_changes(
        document,
        revision=revision,
        labels=last.labels,
        suggestions=_suggestions_after_undo(document, last, kind, revision),
        rejected=last.rejected,
        undo=last.earlier,
    )
    if last.former is not None:
        return _of_former_content(undone, last)
    return replace(
        undone,
        # A confirmation since the decision stays; labels set by hand confirmed only themselves.
        content_changed=last.content_changed and (last.by_hand or document.content_changed),
        problems=last.problems if last.by_hand else document.problems,
    )


def _of_former_content(undone: Document, last: Undo) -> Document:
    """Labels that were set for an earlier text are flagged when restored, unless that text is back, too (rule D2)."""
    labeled = last.labels is not None or undone.aml_labels is not None
    changed = labeled and last.former != undone.content
    return replace(
        undone,
        content_changed=changed,
        labeled_content=last.former or "" if changed else "",
        problems=last.problems,
    )


def _nothing_to_undo(last: Undo | None) -> str:
    if last is None:
        return "There is no label change to undo since the last training or import."
    return "This change was made before the last training and cannot be undone."


def _suggestions_after_undo(
    document: Document, last: Undo, kind: ProjectKind, revision: str
) -> SuggestionSet | None:
    """Those that were there before it, unless those of a later job are there now: these stay (A15).

    Those of an earlier text never come back.
    """
    before, now = last.suggestions if last.former is None else None, document.suggestions
    if now is None or not now.items or (before is not None and now.job_id == before.job_id):
        return replace(before, revision=revision) if before else None
    return replace(now, items=fitting(kind, last.labels, now.items), revision=revision)


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
        raise InvalidArgument("'acceptAll' and 'rejectAll' cannot both be true.", target="acceptAll")
    seen: set[str] = set()
    for field, ids in (("accept", decision.accept), ("reject", decision.reject)):
        for chosen in ids:
            if chosen in seen:
                raise InvalidArgument(f"The suggestion '{chosen}' is listed twice.", target=field)
            if chosen not in known:
                raise InvalidArgument(f"The document has no pending suggestion '{chosen}'.", target=field)
            seen.add(chosen)


def _accept(document: Document, kind: ProjectKind, accepted: tuple[Suggestion, ...]) -> Labels | None:
    labels = document.labels
    if kind is not ProjectKind.ENTITIES:
        for suggestion in accepted:
            if not fits(kind, labels, suggestion):
                raise _conflict(suggestion)
            labels = add_category(kind, labels, suggestion.category)
        return labels
    overlap = first_overlap(labels, accepted)
    if overlap is not None:
        raise _conflict(overlap)
    entities = [EntityLabel(s.category, s.offset, s.length) for s in accepted]
    return add_entities(labels, entities, document.length or 0) if entities else labels


def _conflict(suggestion: Suggestion) -> InvalidArgument:
    return InvalidArgument(
        f"The suggestion '{suggestion.category}' conflicts with a label or another accepted suggestion.",
        target="accept",
    )
