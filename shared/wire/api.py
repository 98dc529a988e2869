"""Models that operations of every subject share: names, errors, jobs.

Requests are parsed by models, and OpenAPI is made from them. Field names are those of Azure's authoring API where it
has the field.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    FailFast,
    Field,
)

from shared.domain.jobs import DocumentOutcome, Job, JobError, JobStatus
from shared.domain.names import (
    ProjectKind,
    category_error,
    deployment_name_error,
    language_error,
    model_label_error,
    project_name_error,
)
from shared.wire.json_codec import Wire, moment, to_json


def job_json(job: Job) -> dict[str, Any]:
    """State of a long-running operation."""
    data: dict[str, Any] = {
        "jobId": job.id,
        "createdDateTime": moment(job.created),
        "lastUpdatedDateTime": moment(job.updated),
        "expirationDateTime": moment(job.expires),
        "status": job.status.value,
        "warnings": [job_error_json(warning) for warning in job.warnings],
        "errors": [job_error_json(error) for error in job.errors],
    }
    if job.result:
        data["result"] = to_json(job.result)
    return data


def job_error_json(error: JobError) -> dict[str, Any]:
    data = {"code": error.code, "message": error.message}
    return data | ({"target": error.target} if error.target else {})


def outcome_json(outcome: DocumentOutcome) -> dict[str, Any]:
    data: dict[str, Any] = {
        "documentId": outcome.document_id,
        "location": outcome.location,
        "outcome": outcome.outcome.value,
    }
    if outcome.error is not None:
        data["error"] = job_error_json(outcome.error)
    return data


def _rule(rule: Any) -> AfterValidator:
    def valid(value: str) -> str:
        wrong = rule(value)
        if wrong:
            raise ValueError(wrong)
        return value

    return AfterValidator(valid)


def _kind(value: Any) -> Any:
    """Azure writes the kinds in two cases."""
    found = ProjectKind.parse(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("The kind of a project must be one of: " + ", ".join(ProjectKind) + ".")
    return found


type Kind = Annotated[ProjectKind, BeforeValidator(_kind)]
type Language = Annotated[str, _rule(language_error)]
type DeploymentName = Annotated[str, _rule(deployment_name_error)]
type CategoryName = Annotated[str, _rule(category_error)]
type ProjectName = Annotated[str, _rule(project_name_error)]
type ModelLabel = Annotated[str, _rule(model_label_error)]
type Names = Annotated[list[str], FailFast()]
"""A list of names or ids; of its items only the first error is reported. A field bounds its length."""
type DocumentId = Annotated[str, Field(min_length=1, max_length=64)]

#: The versions of Azure's authoring API; its project files name the same ones.
API_VERSIONS = (
    "2022-05-01",
    "2022-05-15-preview",
    "2022-07-01-preview",
    "2022-10-01-preview",
    "2023-04-01",
    "2023-04-15-preview",
    "2024-11-15-preview",
    "2025-05-15-preview",
)


def _index_type(value: Any) -> Any:
    return INDEX_TYPE if isinstance(value, str) and value.lower() == INDEX_TYPE.lower() else value


INDEX_TYPE: Final = "Utf16CodeUnit"
type IndexType = Annotated[Literal["Utf16CodeUnit"], BeforeValidator(_index_type)]
"""How offsets count; Azure's clients write it in two cases."""


class InnerErrorModel(Wire):
    code: str
    message: str | None = None


class ErrorModel(Wire):
    code: str
    message: str
    target: str | None = None
    details: list["ErrorModel"] | None = None
    innererror: InnerErrorModel | None = Field(default=None, alias="innererror")


class ErrorAnswer(Wire):
    error: ErrorModel


class JobModel(Wire):
    """State of a long-running operation."""

    job_id: str
    created_date_time: datetime
    last_updated_date_time: datetime
    expiration_date_time: datetime | None = None
    status: JobStatus
    warnings: list[ErrorModel] = []  # noqa: RUF012 - pydantic copies it
    errors: list[ErrorModel] = []  # noqa: RUF012
    result: dict[str, Any] | None = None


class JobList(Wire):
    value: list[JobModel]
    continuation_token: str | None = None


class EmptyList(Wire):
    """A list of Azure's API that is always empty here."""

    value: list[Any]


class Health(Wire):
    status: Literal["healthy"]
    version: str


class Check(Wire):
    """One dependency of the app; `reason` says what to look at when it fails, without addresses or keys."""

    name: Literal["tables", "blobs", "queues", "engine"]
    status: Literal["ok", "failed"]
    reason: str | None = None


class Readiness(Wire):
    status: Literal["ready", "notReady"]
    checks: list[Check]


class WhoAmI(Wire):
    name: str
    roles: list[str]


class StudioConfig(Wire):
    """What the review page needs before sign-in; no secrets."""

    auth_mode: Literal["local", "entra", "easyauth"]
    tenant_id: str | None
    client_id: str | None
    scope: str | None
    authority: str | None
    #: The studios that projects can be connected to.
    studios: list[str]
    api_version: str
