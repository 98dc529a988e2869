"""What open jobs have under way, so that no plan takes up the same documents again."""

from dataclasses import dataclass, field

from shared.domain.jobs import AutolabelParameters, Batch, JobSource
from shared.domain.project import Project
from shared.services.jobs.stores import Stores


@dataclass(slots=True)
class UnderWay:
    """The batches that are not done, and their pages: of uploads, which read the pending ones of their pages, and of
    all documents that wait for suggestions.
    """

    uploads: list[Batch] = field(default_factory=list[Batch])
    upload_pages: set[int] = field(default_factory=set[int])
    document_pages: set[int] = field(default_factory=set[int])


async def under_way(stores: Stores, project: Project) -> UnderWay:
    """Read it before what is to be planned: what ends meanwhile counts as under way."""
    found = UnderWay()
    for job in await stores.jobs.open_jobs(project.incarnation):
        if job.source is None or (
            isinstance(job.parameters, AutolabelParameters) and job.parameters.documents
        ):
            continue  # a job on documents that a caller named does not take up the others of its pages
        done = {state.number for state in await stores.jobs.states(job) if state.done}
        left = [batch for number, batch in enumerate(job.batches) if number not in done]
        pages = found.document_pages
        if job.source is JobSource.UPLOAD:
            found.uploads += left
            pages = found.upload_pages
        for batch in left:
            pages.update(range(batch.low, batch.high))
    return found
