"""HTTP: decisions of reviewers."""

from typing import Any

from functions.http import Call, P, Routes
from functions.reply import Reply
from shared.domain.errors import InvalidArgument
from shared.domain.project import Project
from shared.domain.review import Decision
from shared.runtime.problems import error_json
from shared.services import etags
from shared.services.review import Result, Submitted
from shared.wire.api_documents import DecisionModel, ReviewAnswer, ReviewBody
from shared.wire.documents import document_json, etag

routes = Routes()


@routes.add("POST", f"{P}/documents/:review", {200: ReviewAnswer})
async def review_documents(call: Call, body: ReviewBody) -> Reply:
    """Save the decisions on up to 100 documents; one document's conflict does not stop the others."""
    decisions = [_submitted(one) for one in body.decisions]
    project, results = await call.container.review.save(
        call.project_name, decisions, call.caller.name, call.revision()
    )
    return Reply(200, {"results": [_result(one, project, index) for index, one in enumerate(results)]})


def _submitted(one: DecisionModel) -> Submitted:
    decision = Decision(one.document_id, tuple(one.accept), tuple(one.reject), one.accept_all, one.reject_all)
    try:
        return Submitted(decision, etags.parse(one.e_tag))
    except InvalidArgument as fault:  # that document's own: the others are saved (V2)
        return Submitted(decision, fault)


def _result(one: Result, project: Project, index: int) -> dict[str, Any]:
    data: dict[str, Any] = {"documentId": one.document_id, "status": one.status.value}
    if one.document is not None:
        data["eTag"] = etag(one.document, project.generation)
        data["document"] = document_json(one.document, project)
    if one.error is not None:
        within = f".{one.error.target}" if one.error.target else ""
        data["error"] = error_json(one.error) | {"target": f"decisions[{index}]{within}"}
    return data
