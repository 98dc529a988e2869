"""Requests and answers of the HTTP API as models: requests are parsed by them, and OpenAPI is made from them.

Field names are those of Azure's authoring API (FACTS A) and of design section 4.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.domain.jobs import JobStatus
from shared.domain.kinds import ProjectKind
from shared.domain.names import category_fault, language_fault, model_label_fault


class Wire(BaseModel):
    """camelCase on the wire; unknown fields are ignored, as Azure does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Strict(Wire):
    """A request of our own operations: a misspelt field is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid")


def _rule(fault: Any) -> AfterValidator:
    def check(value: str) -> str:
        wrong = fault(value)
        if wrong:
            raise ValueError(wrong)
        return value

    return AfterValidator(check)


def _kind(value: Any) -> Any:
    """Azure writes the kinds in two cases."""
    found = ProjectKind.parse(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("The kind of a project is one of: " + ", ".join(ProjectKind) + ".")
    return found


type Kind = Annotated[ProjectKind, BeforeValidator(_kind)]
type Language = Annotated[str, _rule(language_fault)]
type CategoryName = Annotated[str, _rule(category_fault)]
type ModelLabel = Annotated[str, _rule(model_label_fault)]
type DocumentId = Annotated[str, Field(min_length=1, max_length=64)]

API_VERSIONS = ("2023-04-01", "2023-04-15-preview", "2024-11-15-preview", "2025-05-15-preview")


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
    warnings: list[ErrorModel] = []
    errors: list[ErrorModel] = []
    result: dict[str, Any] | None = None


class JobList(Wire):
    value: list[JobModel]
    continuation_token: str | None = None


class Health(Wire):
    status: Literal["healthy"]
    version: str


class WhoAmI(Wire):
    name: str
    roles: list[str]


class StudioConfig(Wire):
    """What the review page needs to sign a person in; no secrets."""

    auth_mode: Literal["local", "entra", "easyauth"]
    tenant_id: str | None
    client_id: str | None
    scope: str | None
    authority: str | None
    api_version: str
