"""What open jobs have under way, so that no document is predicted twice with the same model (rule A18).

A plan reads it, and creates or starts its job only if no other job was planned since. So of two jobs the one that is
planned later knows the other. Its batches wait for those of the other that predict the same documents, and take their
outcomes as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from shared.domain.autolabel import selected
from shared.domain.document import Document
from shared.domain.jobs import (
    AutolabelParameters,
    Batch,
    DocumentOutcome,
    Job,
    JobError,
    JobKind,
    JobSource,
    Outcome,
)
from shared.domain.page import page_of
from shared.domain.project import Project
from shared.services.jobs.dispatch import Later
from shared.services.jobs.lifecycle import IN_FLIGHT
from shared.services.jobs.stores import Stores
from shared.storage.jobs import Latest

#: Delay of the message of a batch that waits for one of another job, in seconds.
WAIT_SECONDS: Final = 2
_PREDICTED: Final = frozenset({Outcome.SUGGESTED, Outcome.NOTHING_FOUND})


@dataclass(slots=True)
class _Open:
    """A planned job, its batches that are not done, and the numbers of those that have begun."""

    job: Job
    left: Mapping[int, Batch]
    begun: set[int]


@dataclass(slots=True)
class UnderWay:
    """The batches that are not done: of uploads, which read the pending ones of their pages, and of documents, which
    read those of their pages that wait or are unlabeled. Documents that begin to wait there later are planned when
    these jobs have ended: the sweep plans once more before the project counts as idle.
    """

    uploads: list[Batch] = field(default_factory=list[Batch])
    documents: list[Batch] = field(default_factory=list[Batch])
    jobs: list[_Open] = field(default_factory=list[_Open])

    def before(
        self, asked: AutolabelParameters, batches: Iterable[Batch], pages: int
    ) -> list[tuple[_Open, list[int]]]:
        """The jobs that predict with the model that a new job uses, with their batches on the same pages."""
        found = [
            (other, [n for n, batch in other.left.items() if not wanted.isdisjoint(pages_of([batch]))])
            for other in self.jobs
            if _model(other.job.parameters_as(AutolabelParameters)) == _model(asked)
            and (wanted := _pages(asked, batches, other.job.parameters_as(AutolabelParameters), pages))
        ]
        return [(other, numbers) for other, numbers in found if numbers]


def pages_of(batches: Iterable[Batch]) -> set[int]:
    return {page for batch in batches for page in range(batch.low, batch.high)}


def _pages(
    asked: AutolabelParameters, batches: Iterable[Batch], other: AutolabelParameters, pages: int
) -> set[int]:
    """The pages on which documents of both jobs may be."""
    mine, theirs = asked.documents, other.documents
    if mine is None and theirs is None:
        return pages_of(batches)
    named = set(theirs or ()) if mine is None else set(mine)
    if mine is not None and theirs is not None:
        named.intersection_update(theirs)
    found = {page_of(key, pages) for key in named}
    return found & pages_of(batches)


def _model(asked: AutolabelParameters) -> tuple[object, ...]:
    """What the suggestions of a job depend on beside the texts."""
    categories = frozenset(asked.categories or ())
    return asked.engine, asked.artifact, asked.model_label, categories, asked.threshold, asked.model_edits


async def under_way(stores: Stores, project: Project, asking: Job | None = None) -> UnderWay:
    """Read it before what is to be planned: what ends meanwhile counts as under way. `asking`: the job to plan."""
    found = UnderWay()
    for job in await stores.jobs.open_jobs(project.incarnation, but=asking):
        if job.source is None or not job.batches:
            continue
        states = await stores.jobs.states(job)
        done = {state.number for state in states if state.done}
        left = {number: batch for number, batch in enumerate(job.batches) if number not in done}
        asked = job.parameters
        if isinstance(asked, AutolabelParameters):
            found.jobs.append(_Open(job, left, {state.number for state in states}))
            if asked.documents is not None:
                continue  # such a job does not take up the others of its pages
        (found.uploads if job.source is JobSource.UPLOAD else found.documents).extend(left.values())
    return found


async def ended_meanwhile(stores: Stores, asking: Job, latest: Latest) -> UnderWay:
    """The last job that was planned, if that was after a request whose job is being planned, and has ended already."""
    found = UnderWay()
    if latest.at is not None and latest.at > asking.created:
        job = await stores.jobs.find(asking.incarnation, JobKind.AUTOLABEL, latest.job)
        if job is not None and job.status.ended and job.batches:
            found.jobs.append(_Open(job, dict(enumerate(job.batches)), set(range(len(job.batches)))))
    return found


def names_of(before: Iterable[tuple[_Open, Sequence[int]]]) -> tuple[str, ...]:
    """As the parameters of a job contain them."""
    return tuple(f"{other.job.id}|{number}" for other, numbers in before for number in numbers)


def not_begun(before: Iterable[tuple[_Open, Sequence[int]]]) -> list[tuple[Job, list[int]]]:
    """Batches to run soon, so that a small job need not wait for all of a large one; not more than run at a time."""
    return [
        (other.job, [number for number in numbers if number not in other.begun][:IN_FLIGHT])
        for other, numbers in before
    ]


@dataclass(frozen=True, slots=True)
class Other:
    """A job planned before: whether all its batches on the pages of a batch are done, and the outcomes of those that
    are.
    """

    job: Job
    done: bool
    outcomes: Mapping[str, DocumentOutcome]


async def planned_before(stores: Stores, job: Job, batch: Batch) -> list[Other]:
    """The jobs that a batch is behind. Read it before the documents: what is done then, they show."""
    asked, found = job.parameters, list[Other]()
    behind = asked.behind if isinstance(asked, AutolabelParameters) else ()
    pairs = sorted(tuple(name.rsplit("|", 1)) for name in behind)
    for job_id, group in groupby(pairs, key=lambda pair: pair[0]):
        other = await stores.jobs.find(job.incarnation, JobKind.AUTOLABEL, job_id)
        numbers = [int(number) for _, number in group]
        if other is not None:
            pages = pages_of([batch])
            numbers = [n for n in numbers if not pages.isdisjoint(pages_of([other.batches[n]]))]
        if other is None or not numbers:
            continue
        done, outcomes = await stores.jobs.finished(other, numbers)
        found.append(Other(other, other.status.ended or done.issuperset(numbers), outcomes))
    return found


async def predicted_before(
    stores: Stores, project: Project, batch: Batch, others: Iterable[Other], documents: Iterable[Document]
) -> list[DocumentOutcome]:
    """The outcomes of documents that need not be predicted again. Raises Later while others may predict some."""
    mine, found = list(documents), dict[str, DocumentOutcome]()
    for other in others:
        if not other.done and await _takes_some(stores, project, batch, other.job, mine):
            raise Later(WAIT_SECONDS)
        text = f"The job '{other.job.id}' predicted this document with the same model after this job was requested."
        error = JobError("PredictedByOtherJob", text)
        for document in mine:
            theirs = other.outcomes.get(document.id)
            if theirs and theirs.outcome in _PREDICTED and document.planned == document.content:
                found[document.id] = DocumentOutcome(document.id, document.location, Outcome.SKIPPED, error)
    return list(found.values())


async def _takes_some(
    stores: Stores, project: Project, batch: Batch, job: Job, documents: Sequence[Document]
) -> bool:
    if job.source is JobSource.UPLOAD:
        pending = await stores.pending.of_pages(project.scope, batch.low, batch.high)
        return not {upload.document_id for upload in pending}.isdisjoint(d.id for d in documents)
    asked = job.parameters_as(AutolabelParameters)
    return any(selected(document, project, asked) for document in documents)
