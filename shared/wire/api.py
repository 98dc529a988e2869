"""Requests and answers of the HTTP API as models: requests are parsed by them, and OpenAPI is made from them.

Field names are those of Azure's authoring API where it has the field. `ValidationErrors` collects everything that is
wrong with an input, so that its author can fix it in one go.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from shared.domain.errors import InvalidArgument, LabelbridgeError
from shared.domain.jobs import DocumentOutcome, Job, JobError, JobStatus
from shared.domain.names import (
    ProjectKind,
    category_fault,
    deployment_name_fault,
    language_fault,
    model_label_fault,
    project_name_fault,
)
from shared.wire.json_codec import MAX_DETAILS, moment, to_json


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


class Wire(BaseModel):
    """camelCase on the wire; unknown fields are ignored, as Azure does."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, defer_build=True
    )


class Body(Wire):
    """The body of a request, or a part of it: null says the same as leaving a field out.

    Only in a merge patch (`null_removes`) null removes a field, which one that is required does not allow.
    """

    null_removes: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if cls.null_removes or not isinstance(value, dict):
            return value
        given = cast("dict[str, Any]", value)
        if not any(item is None for item in given.values()):
            return given
        known = {field.alias for field in cls.model_fields.values()}
        return {name: item for name, item in given.items() if item is not None or name not in known}


class Strict(Body):
    """A request of our own operations: a misspelt field is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid")


def _rule(fault: Any) -> AfterValidator:
    def valid(value: str) -> str:
        wrong = fault(value)
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
type Language = Annotated[str, _rule(language_fault)]
type DeploymentName = Annotated[str, _rule(deployment_name_fault)]
type CategoryName = Annotated[str, _rule(category_fault)]
type ProjectName = Annotated[str, _rule(project_name_fault)]
type ModelLabel = Annotated[str, _rule(model_label_fault)]
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
    warnings: list[ErrorModel] = []
    errors: list[ErrorModel] = []
    result: dict[str, Any] | None = None


class JobList(Wire):
    value: list[JobModel]
    continuation_token: str | None = None


class EmptyList(Wire):
    """A list of Azure's API of what Labelbridge has none of."""

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
    """What the review page needs before anybody has signed in; no secrets."""

    auth_mode: Literal["local", "entra", "easyauth"]
    tenant_id: str | None
    client_id: str | None
    scope: str | None
    authority: str | None
    #: The studios that projects can be connected to.
    studios: list[str]
    api_version: str


#: What an error that pydantic found says, by its type; what stands in braces comes from the error.
_WORDS: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be an object"),
    "list_type": "must be a list",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be an integer"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "must be a number"),
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_short": "must have {min_length} or more items, not {actual_length}",
    "too_long": "must have at most {max_length:,} items, not {actual_length:,}",
}


class ValidationErrors:
    """The errors of one input, each with its JSON path; the first 100 are kept, all are counted."""

    def __init__(self, what: str = "request") -> None:
        self._what = what
        self._reported: list[LabelbridgeError] = []
        self.count = 0

    def add(self, path: str, message: str, inner_code: str | None = None) -> None:
        """Note one error; `path` is that of the JSON value, as in `assets.documents[3].location`."""
        self.count += 1
        if self.count <= MAX_DETAILS:
            self._reported.append(InvalidArgument(message, target=path, inner_code=inner_code))

    def add_all(self, found: Mapping[str, str]) -> None:
        """Note messages by path."""
        for path, message in found.items():
            self.add(path, message)

    def add_model(self, error: ValidationError, path: str = "") -> None:
        """Note what pydantic found in the value at `path`, each error with the path of its field."""
        for found in error.errors(include_url=False, include_input=False):
            field = _path(found["loc"], path)
            self.add(field, f"{_text(found, field)}.", "InvalidParameterValue")

    def raise_any(self) -> None:
        """Raises InvalidArgument if there is any error: the only one itself, or a summary with all as `details`."""
        if self.count:
            raise self.as_error()

    def as_error(self, *, more: bool = False) -> LabelbridgeError:
        """The only error itself, or a summary at the first one with all as `details`. There must be one.

        `more`: there are more than were counted.
        """
        if self.count == 1:
            return self._reported[0]
        details = list(self._reported)
        left = self.count - MAX_DETAILS
        if left > 0:
            details.append(InvalidArgument(f"... and {left:,} more {'error' if left == 1 else 'errors'}."))
        text = f"The {self._what} has {'more than ' if more else ''}{self.count:,} errors; see 'details'."
        return InvalidArgument(text, target=details[0].target, details=tuple(details))


def invalid(error: ValidationError) -> LabelbridgeError:
    """What pydantic found in a request."""
    errors = ValidationErrors()
    errors.add_model(error)
    return errors.as_error()


def rule_of(found: ErrorDetails) -> str | None:
    """The rule that was broken, as in "must be an integer"; None if the message of the error says it all."""
    rule = _WORDS.get(found["type"])
    return rule.format_map(found.get("ctx", {})) if rule is not None else None


def _text(found: ErrorDetails, path: str) -> str:
    """One error in our words: the field and the rule. Our own checks (`value_error`) say it all."""
    rule = rule_of(found)
    if rule is not None:
        return f"'{path}' {rule}"
    return found["msg"].removeprefix("Value error, ").removesuffix(".")


def _path(location: tuple[int | str, ...], path: str) -> str:
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"
