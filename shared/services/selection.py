"""Which documents a job without names is about."""

from shared.domain.document import Document
from shared.domain.kinds import DocumentStatus
from shared.domain.project import Project


def waits(document: Document, project: Project) -> bool:
    return document.waiting and document.pending(project.generation) is None


def is_unlabeled(document: Document, project: Project) -> bool:
    unlabeled = document.status(project.generation, project.active_studio) is DocumentStatus.UNLABELED
    return unlabeled and not document.missing
