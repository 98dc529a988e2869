"""HTTP: documents, their labels and their history."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from functions.call import Call, P, Reply, hundredths, in_thread, job_state, listed, paged, require
from functions.http import Routes
from shared.domain.document import ANY_VERSION, Document, version_of_header
from shared.domain.errors import InvalidArgument
from shared.domain.labels import Labels
from shared.domain.names import Dataset, ProjectKind
from shared.domain.project import Project
from shared.runtime.auth import Role
from shared.wire.api import JobModel
from shared.wire.documents import (
    DocumentFilters,
    DocumentListModel,
    DocumentListQuery,
    DocumentModel,
    DocumentPatchBody,
    HistoryList,
    LabelsBody,
    PageQuery,
    ScanBody,
    document_json,
    etag,
    history_json,
    read_labels,
)
from shared.wire.review import SearchBody, SearchModel

if TYPE_CHECKING:
    from shared.services.review.documents import DocumentView
    from shared.services.review.listing import DocumentQuery

routes = Routes()
DOCUMENTS = f"{P}/documents"
ONE = f"{DOCUMENTS}/{{documentId}}"


@routes.add("GET", DOCUMENTS, {200: DocumentListModel}, role=Role.READ)
async def list_documents(call: Call, query: DocumentListQuery) -> Reply:
    """List documents, filtered and ordered, in pages."""
    project, page = await call.container.documents.list(
        call.project_name,
        await document_query(call, query),
        query.top,
        query.continuation_token,
        count=query.count,
    )
    answer = listed([document_json(document, project) for document in page.documents], page.token)
    return answer if page.count is None else replace(answer, data=answer.data | {"count": page.count})


@routes.add("POST", f"{DOCUMENTS}/:search", {200: SearchModel}, role=Role.READ)
async def search_documents(call: Call, body: SearchBody) -> Reply:
    """Search the texts of documents, at most 300 per call, and return how many were searched."""
    from shared.services.review.searching import Search

    search = Search(await document_query(call, body), body.text, body.match_case)
    project, found = await call.container.searches.search(
        call.project_name, search, body.top, body.continuation_token
    )
    value = [
        {
            "document": document_json(match.document, project),
            "matches": match.matches,
            "offset": match.offset,
            "length": match.length,
            "context": {"text": match.context, "offset": match.start, "length": match.length},
        }
        for match in found.matches
    ]
    answer = listed(value, found.token)
    counts = {"searched": found.searched, "unread": found.unread, "total": found.total}
    return replace(answer, data=answer.data | counts)


@routes.add("GET", ONE, {200: DocumentModel}, role=Role.READ)
async def get_document(call: Call) -> Reply:
    """Get a document with its labels and suggestions."""
    return _shown(await call.container.documents.get(call.project_name, call.path("documentId")))


@routes.add("GET", f"{ONE}/text", {200: "text/plain"}, role=Role.READ)
async def get_document_text(call: Call) -> Reply:
    """Get the text of a document: plain, or as JSON for `Accept: application/json`."""
    document, text = await call.container.documents.text(call.project_name, call.path("documentId"))
    if "application/json" in (call.header("accept") or ""):
        return Reply(200, {"text": text, "length": document.length})
    return Reply(200, text.encode(), content_type="text/plain; charset=utf-8")


@routes.add("GET", f"{ONE}/history", {200: HistoryList}, role=Role.READ)
async def get_document_history(call: Call, query: PageQuery) -> Reply:
    """List the changes of a document, newest first."""
    document_id = call.path("documentId")
    project = await call.container.projects.get(call.project_name)
    changes = await call.container.documents.history(call.project_name, document_id)
    return paged(
        query,
        project,
        changes,
        lambda change: history_json(change.by, change.at, change.entry, project.kind),
        ("history", document_id),
        lambda change: change.key,
    )


@routes.add("PUT", f"{ONE}/labels", {200: DocumentModel}, role=Role.REVIEW)
async def put_document_labels(call: Call, body: LabelsBody) -> Reply:
    """Set the labels of a document by hand: the label field of the project's kind, or null to remove them."""
    project = await call.container.projects.get(call.project_name)
    labels = await submitted_labels(call, project.kind, body.root)
    version = version_of_header(call.header("if-match"))
    return _shown(
        await call.container.documents.set_labels(
            call.project_name, call.path("documentId"), version, labels, call.caller.name
        )
    )


@routes.add("PATCH", ONE, {200: DocumentModel}, role=Role.REVIEW)
async def patch_document(call: Call, body: DocumentPatchBody) -> Reply:
    """Set dataset, language, flag or note of a document, or confirm its labels after its content changed."""
    from shared.services.review.documents import DocumentPatch

    version = version_of_header(call.header("if-match"))
    removed = {name for name in body.model_fields_set if getattr(body, name) is None}
    require(removed, body, ("language", "content_changed"))
    dataset = Dataset.TRAIN if "dataset" in removed else body.dataset
    flagged = False if "flagged" in removed else body.flagged
    note = "" if "note" in removed else body.note if body.note is None else body.note.strip()
    patch = DocumentPatch(dataset, body.language, body.content_changed is False, flagged, note)
    if patch == DocumentPatch():
        text = "The body changes nothing; set 'dataset', 'language', 'contentChanged', 'flagged' or 'note'."
        raise InvalidArgument(text, target="body")
    return _shown(
        await call.container.documents.patch(
            call.project_name, call.path("documentId"), version, patch, call.caller.name
        )
    )


@routes.add("POST", f"{ONE}/:undo", {200: DocumentModel}, role=Role.REVIEW)
async def undo_document(call: Call) -> Reply:
    """Undo the last change of a document's labels: a decision, or labels set by hand."""
    given = call.header("if-match")
    version = version_of_header(given) if given else ANY_VERSION
    return _shown(
        await call.container.documents.undo(
            call.project_name, call.path("documentId"), version, call.caller.name, call.revision()
        )
    )


@routes.add("POST", f"{DOCUMENTS}/:scan", {202: None}, role=Role.WRITE)
async def scan_documents(call: Call, body: ScanBody) -> Reply:
    """Register every blob of the project's container."""
    job = await call.container.registering.scan(
        call.project_name, call.job_id(), confirm_removals=body.confirm_removals
    )
    return call.accepted(f"documents/scan/jobs/{job.id}")


@routes.add("GET", f"{DOCUMENTS}/scan/jobs/{{jobId}}", {200: JobModel}, role=Role.READ)
async def get_scan_job(call: Call) -> Reply:
    """Get the state of a scan."""
    job = await call.container.registering.get(call.project_name, call.path("jobId"))
    return job_state(job)


def _shown(shown: "DocumentView") -> Reply:
    return document_reply(shown.document, shown.project)


def document_reply(document: Document, project: Project) -> Reply:
    """A document with the version that a write of it names."""
    return Reply(200, document_json(document, project), {"ETag": etag(document, project.generation)})


async def submitted_labels(call: Call, kind: ProjectKind, given: Mapping[str, Any]) -> Labels | None:
    """The labels in the label field of an object, None for null. Raises InvalidArgument for another field."""
    field = kind.label_field
    if set(given) != {field}:
        text = f"The body must have the label field of the project's kind, '{field}', and no other field."
        raise InvalidArgument(text, target=next((name for name in given if name != field), field))
    return await in_thread(len(call.request.get_body()), lambda: read_labels(kind, given[field]))


async def document_query(call: Call, asked: DocumentFilters) -> "DocumentQuery":
    """The filters of a request. `@me` is the caller, `@none` nobody."""
    from shared.services.review.listing import DocumentQuery

    only, evaluated = None, (asked.evaluated_model, asked.expected_category, asked.predicted_category)
    if asked.evaluated_model is not None:
        only = await call.container.trained_models.counted_in(
            call.project_name, asked.evaluated_model, asked.expected_category, asked.predicted_category
        )
    elif evaluated != (None, None, None):
        text = "'expectedCategory' and 'predictedCategory' need the 'evaluatedModel' that predicted."
        raise InvalidArgument(text, target="evaluatedModel")
    return DocumentQuery(
        asked.status,
        asked.dataset,
        asked.category,
        asked.job_id,
        asked.location_prefix,
        asked.flagged,
        assignee_of(call, asked.assigned_to),
        asked.orderby,
        hundredths(asked.min_confidence, up=True),
        hundredths(asked.max_confidence, up=False),
        evaluated,
        only,
    )


def assignee_of(call: Call, person: str | None) -> str | None:
    """The person that a filter names: "" for `@none`, the caller for `@me`, None for anyone."""
    return None if person is None else {"@me": call.caller.name, "@none": ""}.get(person, person)
