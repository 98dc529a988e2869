"""HTTP: the operations of a lead."""

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from functions.call import Call, P, Reply, paged
from functions.documents import document_query, document_reply, submitted_labels
from functions.http import Routes
from shared.domain.document import version_of_header
from shared.domain.errors import InvalidArgument
from shared.domain.labels import Labels
from shared.domain.names import DocumentStatus, ProjectKind
from shared.runtime.auth import Role
from shared.wire.documents import (
    DocumentModel,
    LabelsBody,
    PageQuery,
    write_labels,
)
from shared.wire.json_codec import moment
from shared.wire.team import (
    AgreementAnswer,
    AssignAnswer,
    AssignBody,
    AssignmentList,
    BlindDocumentModel,
    BlindItemList,
    DisagreementList,
    ProgressAnswer,
    ProgressQuery,
    ResolveBody,
    SecondReviewBody,
    SecondReviewList,
    SecondReviewModel,
)

if TYPE_CHECKING:
    from shared.storage.team import SecondItem, SecondReview

routes = Routes()
REVIEWS = f"{P}/second-reviews"
REVIEW = f"{REVIEWS}/{{reviewId}}"
DAYS = 30


@routes.add("GET", f"{P}/progress", {200: ProgressAnswer}, role=Role.READ)
async def get_progress(call: Call, query: ProgressQuery) -> Reply:
    """Get what each person did on each day (UTC), newest first."""
    last = query.to_date or call.container.stores.clock().date()
    first = query.from_date or date.fromordinal(max(1, last.toordinal() - DAYS + 1))
    project, progress = await call.container.team.progress(call.project_name, first, last)
    reply = paged(
        query,
        project,
        progress.days,
        lambda day: {"date": day.day.isoformat(), "by": day.by, **day.work._asdict()},
        ("progress", first, last),
        lambda day: (-day.day.toordinal(), day.by),
    )
    reply.data["complete"] = progress.complete
    return reply


@routes.add("POST", f"{P}/documents/:assign", {200: AssignAnswer}, role=Role.WRITE)
async def assign_documents(call: Call, body: AssignBody) -> Reply:
    """Assign the first documents of a filter to a person, or to nobody: advice, not a lock."""
    query = await document_query(call, body.filter)
    query.require_range()
    count, more = await call.container.team.assign(
        call.project_name,
        "" if body.assignee == "@none" else body.assignee,
        query,
        body.count,
        call.caller.name,
        call.revision(),
    )
    return Reply(200, {"assigned": count, "more": more})


@routes.add("GET", f"{P}/assignments", {200: AssignmentList}, role=Role.READ)
async def list_assignments(call: Call) -> Reply:
    """List how many documents each person has, by status; null: unassigned documents."""
    found = await call.container.team.assignments(call.project_name)
    value = [
        {"assignee": person or None, "documents": counts.total()}
        | {status.value: counts[status] for status in DocumentStatus}
        for person, counts in sorted(found.items())
    ]
    return Reply(200, {"value": value})


@routes.add("POST", REVIEWS, {201: SecondReviewModel}, role=Role.WRITE)
async def create_second_review(call: Call, body: SecondReviewBody) -> Reply:
    """Start a second review: a second person labels a sample again without seeing the first labels."""
    from shared.services.review.second import SampleRequest

    if (body.size is None) is (body.percent is None):
        raise InvalidArgument("Set either 'size' or 'percent'.", target="size")
    request = SampleRequest(body.reviewer, body.size, body.percent, body.seed)
    review = await call.container.second.create(call.project_name, request, call.caller.name, call.revision())
    return Reply(201, _review(review))


@routes.add("GET", REVIEWS, {200: SecondReviewList}, role=Role.READ)
async def list_second_reviews(call: Call, query: PageQuery) -> Reply:
    """List second reviews, newest first."""
    project, reviews = await call.container.second.reviews(call.project_name)
    return paged(
        query,
        project,
        reviews,
        _review,
        "second reviews",
        lambda review: (-int(review.at.timestamp() * 1_000_000), review.id),
    )


@routes.add("GET", f"{REVIEW}/documents", {200: BlindItemList}, role=Role.READ)
async def list_blind_documents(call: Call, query: PageQuery) -> Reply:
    """List the documents of a second review, without labels, in the order of the sample."""
    review_id = call.path("reviewId")
    project, items = await call.container.second.queue(call.project_name, review_id)
    return paged(
        query,
        project,
        list(enumerate(items)),
        lambda numbered: _blind_item(numbered[1]),
        ("second review", review_id),
        lambda numbered: (numbered[0],),
    )


def _blind_item(item: "SecondItem") -> dict[str, Any]:
    return {"id": item.document_id, "location": item.location, "reviewed": item.second is not None}


@routes.add("GET", f"{REVIEW}/documents/{{documentId}}", {200: BlindDocumentModel}, role=Role.READ)
async def get_blind_document(call: Call) -> Reply:
    """Get a document of a second review: its text and the labels of the second person, no others and no suggestions."""
    project, shown = await call.container.second.read(
        call.project_name, call.path("reviewId"), call.path("documentId"), call.caller.name
    )
    data: dict[str, Any] = {
        "id": shown.item.document_id,
        "location": shown.item.location,
        "language": shown.language,
        "text": shown.text,
        "reviewed": shown.item.second is not None,
    }
    if shown.own is not None:
        data[project.kind.label_field] = write_labels(project.kind, shown.own)
    return Reply(200, data)


@routes.add("PUT", f"{REVIEW}/documents/{{documentId}}/labels", {204: None}, role=Role.REVIEW)
async def put_blind_labels(call: Call, body: LabelsBody) -> Reply:
    """Set the labels of the second person, or remove them with null; those of the document stay."""
    project = await call.container.projects.get(call.project_name)
    labels = await submitted_labels(call, project.kind, body.root)
    await call.container.second.save(
        call.project_name, call.path("reviewId"), call.path("documentId"), labels, call.caller.name
    )
    return Reply(204)


@routes.add("GET", f"{REVIEW}/agreement", {200: AgreementAnswer}, role=Role.READ)
async def get_agreement(call: Call) -> Reply:
    """Get the agreement of two people: Cohen's kappa for classes, F1 of spans otherwise. Not for the second person."""
    _, found = await call.container.second.summary(call.project_name, call.path("reviewId"), call.caller.name)
    of = found.agreement
    return Reply(
        200,
        {
            "documents": found.reviewed,
            "agreed": of.agreed,
            "disagreements": found.disagreements,
            "resolved": found.resolved,
            "kappa": of.kappa,
            "f1": of.f1,
            "categories": [asdict(category) for category in of.categories],
        },
    )


@routes.add("GET", f"{REVIEW}/disagreements", {200: DisagreementList}, role=Role.READ)
async def list_disagreements(call: Call, query: PageQuery) -> Reply:
    """List the documents that two people labeled differently, by name. Not for the second person."""
    review_id = call.path("reviewId")
    project, found = await call.container.second.disagreements(call.project_name, review_id, call.caller.name)
    return paged(
        query,
        project,
        found,
        lambda pair: _disagreement(project.kind, *pair),
        ("disagreements", review_id),
        lambda pair: (pair[0].location,),
    )


def _disagreement(kind: ProjectKind, item: "SecondItem", first: Labels, second: Labels) -> dict[str, Any]:
    data: dict[str, Any] = {
        "documentId": item.document_id,
        "location": item.location,
        "firstBy": item.first_by or None,
        "first": {kind.label_field: write_labels(kind, first)},
        "second": {kind.label_field: write_labels(kind, second)},
    }
    if item.resolution is not None:
        end = item.resolution
        labels = {kind.label_field: write_labels(kind, end.labels)}
        data["resolution"] = {"by": end.by, "dateTime": moment(end.at), "labels": labels}
    return data


@routes.add("POST", f"{REVIEW}/documents/{{documentId}}/:resolve", {200: DocumentModel}, role=Role.WRITE)
async def resolve_disagreement(call: Call, body: ResolveBody) -> Reply:
    """Set the labels of the document to the first, the second or other labels, at the version read (`If-Match`)."""
    project = await call.container.projects.get(call.project_name)
    if (body.choice is None) is (body.labels is None):
        raise InvalidArgument("Set either 'choice' or 'labels'.", target="choice")
    chosen = body.choice or await _said(call, project.kind, body.labels or {})
    document, project = await call.container.second.resolve(
        call.project_name,
        call.path("reviewId"),
        call.path("documentId"),
        version_of_header(call.header("if-match")),
        chosen,
        call.caller.name,
        call.revision(),
    )
    return document_reply(document, project)


@routes.add("POST", f"{REVIEW}/documents/{{documentId}}/:reopen", {200: DocumentModel}, role=Role.WRITE)
async def reopen_disagreement(call: Call) -> Reply:
    """Undo the resolution of a disagreement: the document gets its previous labels."""
    document, project = await call.container.second.reopen(
        call.project_name, call.path("reviewId"), call.path("documentId"), call.caller.name, call.revision()
    )
    return document_reply(document, project)


async def _said(call: Call, kind: ProjectKind, given: dict[str, Any]) -> Labels:
    """Labels of a body. Raises InvalidArgument for null."""
    labels = await submitted_labels(call, kind, given)
    if labels is None:
        raise InvalidArgument(f"'{kind.label_field}' must not be null.", target=kind.label_field)
    return labels


def _review(review: "SecondReview") -> dict[str, Any]:
    return {
        "id": review.id,
        "reviewer": review.reviewer,
        "by": review.by,
        "createdDateTime": moment(review.at),
        "documents": len(review.documents),
        "seed": review.seed,
    }
