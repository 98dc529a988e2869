"""Teams: who changed the labels of which documents, by day (UTC), and who is to review which."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from shared.domain.document import Document
from shared.domain.names import DocumentStatus
from shared.domain.page import Action, Change, DecisionChange, Edit, Head, HistoryEntry, Page
from shared.domain.project import Project


class Work(NamedTuple):
    """What a person did on a day.

    `documents`: whose labels the person changed one by one, each once. `accepted` and `rejected`: suggestions, decided
    one by one. `labeled`: how often labels were set by hand. `bulk`: documents changed by bulk decisions. `undone`:
    changes that were undone.
    """

    documents: int = 0
    accepted: int = 0
    rejected: int = 0
    labeled: int = 0
    bulk: int = 0
    undone: int = 0

    def plus(self, other: "Work") -> "Work":
        return Work(*map(sum, zip(self, other, strict=True)))


NO_WORK = Work()

type WorkByDay = Mapping[tuple[date, str], Work]
"""(day, person) -> what the person did on that day."""


@dataclass(frozen=True, slots=True)
class Dated:
    """One change of a page's history: `seq` orders the changes of the page."""

    seq: int
    by: str
    at: datetime
    entry: HistoryEntry


def work_of(changes: Iterable[Dated], after: int) -> dict[tuple[date, str], Work]:
    """The work in the changes of one page whose `seq` is above `after`.

    The changes before it, of the same day, tell which documents were counted; then none is counted twice.
    """
    found: dict[tuple[date, str], Work] = {}
    seen: set[tuple[date, str, str]] = set()
    for change in changes:
        work, touches = _work(change.entry)
        day = change.at.date()
        first = touches and (day, change.by, change.entry.document_id) not in seen
        if touches:
            seen.add((day, change.by, change.entry.document_id))
        if change.seq <= after or (work == NO_WORK and not first):
            continue
        key = day, change.by
        counted = work._replace(documents=1) if first else work
        found[key] = found.get(key, NO_WORK).plus(counted)
    return found


def _work(entry: HistoryEntry) -> tuple[Work, bool]:
    """What one change counts, and whether it is one that a person made to this document alone."""
    details = entry.details
    if entry.action is Action.DECIDED and isinstance(details, DecisionChange):
        if details.review_job_id is not None:
            return Work(bulk=1), False
        return Work(accepted=len(details.accepted), rejected=len(details.rejected)), True
    if entry.action is Action.LABELS_SET:
        return Work(labeled=1), True
    if entry.action in {Action.DECISION_UNDONE, Action.LABELS_UNDONE}:
        return Work(undone=1), False
    return NO_WORK, False


@dataclass(frozen=True, slots=True)
class Assignment:
    """Documents that are given to a person, "" to nobody. `taken_from`: only from this one; None: from anybody."""

    assignee: str
    documents: tuple[str, ...]
    taken_from: str | None = None
    more: bool = False


def assigned(assignment: Assignment) -> Change:
    """Assign the documents that are still as they were chosen. It is advice: the version of a document stays."""
    chosen = frozenset(assignment.documents)

    def change(page: Page, _: Project) -> Edit | None:
        edits: dict[str, Document | None] = {
            key: replace(document, assignee=assignment.assignee)
            for key, document in page.documents.items()
            if key in chosen
            and document.assignee != assignment.assignee
            and assignment.taken_from in {None, document.assignee}
        }
        return Edit(edits) if edits else None

    return change


def assignments(project: Project, heads: Iterable[Head]) -> dict[str, Counter[DocumentStatus]]:
    """How many documents of each status each person has; "": nobody."""
    found: dict[str, Counter[DocumentStatus]] = {}
    for head in heads:
        for entry in head.entries:
            status = entry.status(project.generation, project.active_studio)
            found.setdefault(entry.assignee, Counter())[status] += 1
    return found
