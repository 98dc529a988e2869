"""What a job that is ended before its time says of the documents that it did not get to (rule A5)."""

from dataclasses import replace

from shared.domain.errors import ProjectNotFound
from shared.domain.jobs import Batch, BatchResult, DocumentOutcome, Job, JobError, JobKind, Outcome
from shared.domain.page import page_of
from shared.services.selection import selected
from shared.services.stores import Stores


async def left_out(stores: Stores, job: Job, batch: Batch, reason: JobError) -> BatchResult:
    """The result of a batch that will not run: its documents are skipped, for this reason.

    Uploads are not among them: they wait, and the next plan takes them up.
    """
    if job.kind is not JobKind.AUTOLABEL or job.parameters.get("source") == "upload":
        return BatchResult()
    try:
        project = await stores.directory.read(job.project)
    except ProjectNotFound:
        return BatchResult()
    if project.incarnation != job.incarnation:
        return BatchResult()
    then = replace(project, edition=job.edition, generation=job.generation)
    pages = await stores.pages.load_range(then.scope, batch.low, batch.high)
    locations = {
        d.id: d.location for page in pages.values() for d in page.documents.values() if selected(d, then, job)
    }
    named = job.parameters.get("documents") or ()
    mine = (one for one in named if batch.low <= page_of(one, then.pages) < batch.high)
    locations = dict.fromkeys(mine, "") | locations
    return BatchResult(
        tuple(
            DocumentOutcome(key, where, Outcome.SKIPPED, reason) for key, where in sorted(locations.items())
        )
    )
