"""What an import makes of a project file: the project as it will be, and its pages."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from shared.domain.document import PLANNED_WHEN_READ, Document, document_id
from shared.domain.errors import Conflict
from shared.domain.ids import derived_id, incarnation_of_import
from shared.domain.jobs import Job
from shared.domain.page import HistoryEntry, Page, page_of
from shared.domain.project import Project, with_categories
from shared.domain.project_file import LabeledDocument, ProjectFile
from shared.storage.document_codec import encode_labels
from shared.storage.pages import locked


def obstacle(project: Project, holder: str = "") -> Conflict | None:
    """What keeps an import from replacing the project (rule C12); with `retry_after`, what is over in a moment."""
    if project.deleting:
        text = f"The project '{project.name}' is being deleted; try again in a moment."
        return Conflict(text, target="projectName", retry_after=1)
    if project.aml_project_path is not None:
        text = "The project is connected to a labeling project; disconnect it before importing over it."
        return Conflict(text, target="projectName")
    if project.training is not None:
        text = "A training of this project is running; import when it has ended."
        return Conflict(text, target="projectName")
    if project.lock is not None and project.lock.holder != holder:
        return locked(project)
    return None


def edition_of(job: Job) -> str:
    """Where the content of the import lies, in whatever incarnation."""
    return derived_id(job.id, "edition")


def incarnation_of(job: Job) -> str:
    """Of the project that the import creates: at most once, for creating it is noted on the job in one write."""
    return incarnation_of_import(job.id)


def created(job: Job, file: ProjectFile) -> Project:
    """The project where there is none."""
    base = Project(
        job.project, file.details.kind, file.details.container, file.details.language, job.created, job.created,
        incarnation=incarnation_of(job), edition=edition_of(job),
    )  # fmt: skip
    return replaced(base, file, job)


def replaced(project: Project, file: ProjectFile, job: Job) -> Project:
    """The project with the content of the file."""
    details = file.details
    return replace(
        with_categories(project, file.categories),
        kind=details.kind,
        container=details.container,
        language=details.language,
        multilingual=details.multilingual,
        description=details.description,
        settings=details.settings,
        edition=edition_of(job),
        modified=job.created,
    )


def pages_of(project: Project, documents: Iterable[LabeledDocument], revision: str) -> list[Page]:
    """The documents on their pages."""
    buckets: dict[int, dict[str, Document]] = defaultdict(dict)
    for one in documents:
        key = document_id(one.location)
        buckets[page_of(key, project.pages)][key] = Document(
            key,
            one.location,
            one.language,
            one.dataset,
            revision,
            planned=PLANNED_WHEN_READ,
            labels=one.labels,
        )
    return [Page(number, dict(sorted(bucket.items()))) for number, bucket in sorted(buckets.items())]


def history_of(page: Page) -> tuple[HistoryEntry, ...]:
    """What the history tells of the labeled documents of a page."""
    return tuple(
        HistoryEntry(d.id, "imported", {"after": encode_labels(d.labels)})
        for d in page.documents.values()
        if d.labels is not None
    )
