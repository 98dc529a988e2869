"""Errors as Azure-shaped answers: `{"error": {code, message, target, details, innererror}}` (FACTS A)."""

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.domain import errors
from shared.domain.errors import InvalidArgument, LabelbridgeError
from shared.storage.gateways.errors import StorageUnavailable

_STATUS: tuple[tuple[type[LabelbridgeError], int], ...] = (
    (errors.InvalidArgument, 400),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.QuotaExceeded, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.TooLarge, 413),
    (errors.UnsupportedMediaType, 415),
    (errors.PreconditionRequired, 428),
    (errors.NotOffered, 501),
    (errors.Unavailable, 503),
)
MAX_DETAILS = 100

#: What a fault that pydantic found says, by its type; what follows in braces is from the fault.
_WORDS: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be an object"),
    "list_type": "must be a list",
    "string_type": "must be a text",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be an integer"),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "must be a number"),
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_short": "must have {min_length} or more items, not {actual_length}",
    "too_long": "must have at most {max_length:,} items, not {actual_length:,}",
}


def status_of(error: LabelbridgeError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_json(error: LabelbridgeError) -> dict[str, Any]:
    data: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target:
        data["target"] = error.target
    if error.details:
        data["details"] = [error_json(detail) for detail in error.details[: MAX_DETAILS + 1]]
    if error.inner_code:
        data["innererror"] = {"code": error.inner_code, "message": error.message}
    return data


def body_of(error: LabelbridgeError) -> dict[str, Any]:
    body: dict[str, Any] = {"error": error_json(error)}
    if isinstance(error, errors.StaleDocument):
        body["document"] = error.document
    return body


def headers_of(error: LabelbridgeError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def from_validation(error: ValidationError, prefix: str = "") -> LabelbridgeError:
    """What pydantic found, each fault with the path of its field."""
    faults = [_fault(one, prefix) for one in error.errors(include_url=False, include_input=False)]
    if len(faults) == 1:
        return faults[0]
    text = f"The request has {len(faults)} faults; see 'details'."
    return InvalidArgument(text, target=faults[0].target, details=tuple(faults))


def from_storage(error: StorageUnavailable) -> LabelbridgeError:
    return errors.Unavailable("The storage account does not answer; try again.", retry_after=2)


def _fault(found: ErrorDetails, prefix: str) -> InvalidArgument:
    """One fault in our words: the field by its path, and the rule. Our own checks (`value_error`) say it all."""
    path, rule = _path(found["loc"], prefix), _WORDS.get(found["type"])
    if rule is not None:
        text = f"'{path}' {rule.format_map(found.get('ctx', {}))}"
    else:
        text = found["msg"].removeprefix("Value error, ").removesuffix(".")
    return InvalidArgument(f"{text}.", target=path, inner_code="InvalidParameterValue")


def _path(location: tuple[int | str, ...], prefix: str) -> str:
    path = prefix
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"
