"""HTTP: decisions of reviewers."""

from typing import TYPE_CHECKING, Any

from functions.call import Call, P, Reply
from functions.http import Routes
from shared.domain.document import parse_version
from shared.domain.errors import InvalidArgument
from shared.domain.project import Project
from shared.domain.review import Decision
from shared.runtime.auth import Role
from shared.runtime.problems import error_json
from shared.wire.documents import DecisionModel, ReviewAnswer, ReviewBody, document_json, etag

if TYPE_CHECKING:
    from shared.services.review.service import Result, Submitted

routes = Routes()


@routes.add("POST", f"{P}/documents/:review", {200: ReviewAnswer}, role=Role.REVIEW)
async def review_documents(call: Call, body: ReviewBody) -> Reply:
    """Save the decisions on up to 100 documents; one document's conflict does not stop the others."""
    decisions = [_submitted(decision) for decision in body.decisions]
    project, results = await call.container.review.save(
        call.project_name, decisions, call.caller.name, call.revision()
    )
    return Reply(200, {"results": [_result(result, project, index) for index, result in enumerate(results)]})


def _submitted(given: DecisionModel) -> "Submitted":
    from shared.services.review.service import Submitted

    decision = Decision(
        given.document_id, tuple(given.accept), tuple(given.reject), given.accept_all, given.reject_all
    )
    try:
        return Submitted(decision, parse_version(given.e_tag))
    except InvalidArgument as fault:  # that document's own: the others are saved (V2)
        return Submitted(decision, fault)


def _result(result: "Result", project: Project, index: int) -> dict[str, Any]:
    data: dict[str, Any] = {"documentId": result.document_id, "status": result.status.value}
    if result.document is not None:
        data["eTag"] = etag(result.document, project.generation)
        data["document"] = document_json(result.document, project)
    if result.error is not None:
        within = f".{result.error.target}" if result.error.target else ""
        data["error"] = error_json(result.error) | {"target": f"decisions[{index}]{within}"}
    return data
