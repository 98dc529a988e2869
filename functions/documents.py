"""HTTP: documents, their labels and their history."""

from functions.http import Call, P, Routes
from functions.reply import Reply, listed
from shared.domain.errors import InvalidArgument
from shared.services import etags, paging
from shared.services.documents import DocumentPatch, Shown
from shared.services.listing import DocumentQuery
from shared.wire.answers import history_json, job_json
from shared.wire.api import JobModel
from shared.wire.api_documents import (
    DocumentListModel,
    DocumentListQuery,
    DocumentModel,
    DocumentPatchBody,
    HistoryList,
    PageQuery,
)
from shared.wire.documents import document_json, etag
from shared.wire.label_body import LabelsBody
from shared.wire.labels import read_labels

routes = Routes()
DOCUMENTS = f"{P}/documents"
ONE = f"{DOCUMENTS}/{{documentId}}"


@routes.add("GET", DOCUMENTS, {200: DocumentListModel})
async def list_documents(call: Call, query: DocumentListQuery) -> Reply:
    """List documents, filtered and ordered, page by page."""
    wanted = DocumentQuery(
        query.status, query.dataset, query.category, query.job_id, query.location_prefix, query.orderby
    )
    project, page = await call.container.documents.list(
        call.project_name, wanted, query.top, query.continuation_token
    )
    return listed([document_json(document, project) for document in page.documents], page.token)


@routes.add("GET", ONE, {200: DocumentModel}, headers=("ETag",))
async def get_document(call: Call) -> Reply:
    """Get a document with its labels and suggestions."""
    return _shown(await call.container.documents.get(call.project_name, call.path("documentId")))


@routes.add("GET", f"{ONE}/text", {200: "text/plain"})
async def get_document_text(call: Call) -> Reply:
    """Get the text of a document: plain, or as JSON for `Accept: application/json`."""
    document, text = await call.container.documents.text(call.project_name, call.path("documentId"))
    if "application/json" in (call.header("accept") or ""):
        return Reply(200, {"text": text, "length": document.length})
    return Reply(200, text.encode(), content_type="text/plain; charset=utf-8")


@routes.add("GET", f"{ONE}/history", {200: HistoryList})
async def get_document_history(call: Call, query: PageQuery) -> Reply:
    """List the changes of a document, newest first."""
    document_id = call.path("documentId")
    project = await call.container.projects.get(call.project_name)
    changes = await call.container.documents.history(call.project_name, document_id)
    shown, token = paging.cut(
        changes,
        lambda one: one.key,
        query.top,
        query.continuation_token,
        project,
        ("history", document_id),
    )
    return listed([history_json(one.by, one.at, one.entry) for one in shown], token)


@routes.add("PUT", f"{ONE}/labels", {200: DocumentModel}, headers=("ETag",))
async def put_document_labels(call: Call, body: LabelsBody) -> Reply:
    """Set the labels of a document by hand: the label field of the project's kind, or null to remove them."""
    project = await call.container.projects.get(call.project_name)
    field = project.kind.label_field
    if set(body.root) != {field}:
        text = f"The body holds the label field of the project's kind, '{field}', and nothing else."
        raise InvalidArgument(text, target=next((name for name in body.root if name != field), field))
    labels = read_labels(project.kind, body.root[field])
    version = etags.of_header(call.header("if-match"))
    return _shown(
        await call.container.documents.set_labels(
            call.project_name, call.path("documentId"), version, labels, call.caller.name
        )
    )


@routes.add("PATCH", ONE, {200: DocumentModel}, headers=("ETag",))
async def patch_document(call: Call, body: DocumentPatchBody) -> Reply:
    """Set dataset or language of a document, or confirm its labels after its content changed."""
    version = etags.of_header(call.header("if-match"))
    patch = DocumentPatch(body.dataset, body.language, body.content_changed is False)
    if patch == DocumentPatch():
        raise InvalidArgument(
            "The body changes nothing: give 'dataset', 'language' or 'contentChanged'.", target="body"
        )
    return _shown(
        await call.container.documents.patch(
            call.project_name, call.path("documentId"), version, patch, call.caller.name
        )
    )


@routes.add("POST", f"{ONE}/:undo", {200: DocumentModel}, headers=("ETag",))
async def undo_document(call: Call) -> Reply:
    """Take back the last decision on a document."""
    given = call.header("if-match")
    version = etags.of_header(given) if given else etags.ANY
    return _shown(
        await call.container.documents.undo(
            call.project_name, call.path("documentId"), version, call.caller.name, call.revision()
        )
    )


@routes.add("POST", f"{DOCUMENTS}/:scan", {202: None}, headers=("operation-location",))
async def scan_documents(call: Call) -> Reply:
    """Register every blob of the project's container."""
    job = await call.container.registering.scan(call.project_name, call.job_id())
    return call.accepted(f"documents/scan/jobs/{job.id}")


@routes.add("GET", f"{DOCUMENTS}/scan/jobs/{{jobId}}", {200: JobModel})
async def get_scan_job(call: Call) -> Reply:
    """Get the state of a scan."""
    job = await call.container.registering.get(call.project_name, call.path("jobId"))
    return Reply(200, job_json(job), {} if job.status.ended else {"Retry-After": "1"})


def _shown(shown: Shown) -> Reply:
    data = document_json(shown.document, shown.project)
    return Reply(200, data, {"ETag": etag(shown.document, shown.project.generation)})
