"""Which documents a job is about."""

from collections.abc import Sequence

from shared.domain.document import Document
from shared.domain.jobs import Job
from shared.domain.kinds import DocumentStatus
from shared.domain.project import Project


def selected(document: Document, project: Project, job: Job) -> bool:
    """Whether a job that is no upload job is about the document: a named one, one that waits, or an unlabeled one."""
    named: Sequence[str] | None = job.parameters.get("documents")
    if named is not None:
        return document.id in named
    return (
        waits(document, project)
        if job.parameters.get("source") == "waiting"
        else is_unlabeled(document, project)
    )


def waits(document: Document, project: Project) -> bool:
    return document.waiting and document.pending(project.generation) is None


def is_unlabeled(document: Document, project: Project) -> bool:
    unlabeled = document.status(project.generation, project.active_studio) is DocumentStatus.UNLABELED
    return unlabeled and not document.missing
