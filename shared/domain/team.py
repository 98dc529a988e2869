"""Teams: who changed the labels of which documents by day (UTC), assignments, and the agreement of two people.

Agreement is Cohen's kappa for classes (of a multi-label project for each category, and their mean), F1 of exact spans
for entities.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from shared.domain.document import Document
from shared.domain.labels import EntityLabel, Labels
from shared.domain.names import DocumentStatus, ProjectKind
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
    """The counts of one change, and whether a person made it to this document alone."""
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
    """Documents that are given to a person, "" to nobody. `taken_from`: only from this one; None: from anyone."""

    assignee: str
    documents: tuple[str, ...]
    taken_from: str | None = None
    more: bool = False


def assigned(assignment: Assignment) -> Change:
    """Assign the documents that still match. An assignment is advice: the version of a document stays."""
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


type Pair = tuple[Labels, Labels]
"""The labels of the first and of the second person."""


@dataclass(frozen=True, slots=True)
class CategoryAgreement:
    """`first`, `second`: how often each person gave the category; `both`: together. `kappa` for classes, `f1` for
    entities; None if it is not defined, because the category was never or always given.
    """

    category: str
    first: int
    second: int
    both: int
    kappa: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """`agreed`: documents with the same labels. `kappa` for classes, `f1` for entities; None: not defined."""

    documents: int
    agreed: int
    kappa: float | None
    f1: float | None
    categories: tuple[CategoryAgreement, ...]


def same(kind: ProjectKind, first: Labels, second: Labels) -> bool:
    """Whether both labels are equal, ignoring order and the regions of entities."""
    if kind is ProjectKind.ENTITIES:
        return Counter(first.entities()) == Counter(second.entities())
    return set(first.categories) == set(second.categories)


def agreement(kind: ProjectKind, pairs: Sequence[Pair]) -> Agreement:
    agreed = sum(same(kind, first, second) for first, second in pairs)
    if kind is ProjectKind.ENTITIES:
        categories, f1 = _spans(pairs)
        return Agreement(len(pairs), agreed, None, f1, categories)
    names = sorted({name for pair in pairs for labels in pair for name in labels.categories})
    counted = tuple(_category(name, pairs) for name in names)
    if kind is ProjectKind.SINGLE_LABEL:
        kappa = cohens_kappa([(_only(first), _only(second)) for first, second in pairs])
    else:
        defined = [category.kappa for category in counted if category.kappa is not None]
        kappa = sum(defined) / len(defined) if defined else None
    return Agreement(len(pairs), agreed, kappa, None, counted)


def _only(labels: Labels) -> str:
    """The class of a document; "" for none."""
    return labels.categories[0] if labels.categories else ""


def _category(name: str, pairs: Sequence[Pair]) -> CategoryAgreement:
    given = [(name in first.categories, name in second.categories) for first, second in pairs]
    return CategoryAgreement(
        name,
        sum(first for first, _ in given),
        sum(second for _, second in given),
        sum(first and second for first, second in given),
        kappa=cohens_kappa(given),
    )


def cohens_kappa(pairs: Iterable[tuple[object, object]]) -> float | None:
    """Agreement beyond chance: 1 is perfect, 0 chance level.

    None without pairs, and if both always gave the same single class, which chance alone explains.
    """
    given = list(pairs)
    if not given:
        return None
    total = len(given)
    observed = sum(first == second for first, second in given) / total
    firsts, seconds = Counter(first for first, _ in given), Counter(second for _, second in given)
    by_chance = sum(count * seconds[value] for value, count in firsts.items()) / total**2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _spans(pairs: Sequence[Pair]) -> tuple[tuple[CategoryAgreement, ...], float | None]:
    firsts, seconds, both = Counter[str](), Counter[str](), Counter[str]()
    for first, second in pairs:
        by_first, by_second = Counter[EntityLabel](first.entities()), Counter[EntityLabel](second.entities())
        firsts.update(entity.category for entity in by_first.elements())
        seconds.update(entity.category for entity in by_second.elements())
        both.update(entity.category for entity in (by_first & by_second).elements())
    categories = tuple(
        CategoryAgreement(
            name, firsts[name], seconds[name], both[name], f1=_f1(firsts[name], seconds[name], both[name])
        )
        for name in sorted({*firsts, *seconds})
    )
    return categories, _f1(firsts.total(), seconds.total(), both.total())


def _f1(first: int, second: int, both: int) -> float | None:
    return 2 * both / (first + second) if first + second else None
