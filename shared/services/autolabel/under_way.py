"""The work of open jobs, so that no plan takes up the same documents again."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.domain.jobs import AutolabelParameters, Batch, JobSource
from shared.domain.project import Project
from shared.services.jobs.stores import Stores


@dataclass(slots=True)
class UnderWay:
    """The batches that are not done: those of uploads, which read the pending uploads of their pages, and those of
    documents, which read the waiting or unlabeled documents of their pages. Documents that start to wait there later
    are planned when these jobs have ended: the sweep plans once more before the project counts as idle.
    """

    uploads: list[Batch] = field(default_factory=list[Batch])
    documents: list[Batch] = field(default_factory=list[Batch])


def pages_of(batches: Iterable[Batch]) -> set[int]:
    return {page for batch in batches for page in range(batch.low, batch.high)}


async def under_way(stores: Stores, project: Project) -> UnderWay:
    """Call this before reading what to plan: work that ends meanwhile counts as under way."""
    found = UnderWay()
    for job in await stores.jobs.open_jobs(project.incarnation):
        if job.source is None or (
            isinstance(job.parameters, AutolabelParameters) and job.parameters.documents
        ):
            continue  # a job on documents that a caller named does not take up the others of its pages
        done = {state.number for state in await stores.jobs.states(job) if state.done}
        left = [batch for number, batch in enumerate(job.batches) if number not in done]
        (found.uploads if job.source is JobSource.UPLOAD else found.documents).extend(left)
    return found
