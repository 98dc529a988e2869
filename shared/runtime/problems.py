"""Errors as Azure-shaped answers: `{"error": {code, message, target, details, innererror}}` (FACTS A)."""

from typing import Any

from pydantic import ValidationError

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
    faults = [
        InvalidArgument(
            _words(fault["msg"]), target=_path(fault["loc"], prefix), inner_code="InvalidParameterValue"
        )
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    if len(faults) == 1:
        return faults[0]
    text = f"The request has {len(faults)} faults; see 'details'."
    return InvalidArgument(text, target=faults[0].target, details=tuple(faults))


def from_storage(error: StorageUnavailable) -> LabelbridgeError:
    return errors.Unavailable("The storage account does not answer; try again.", retry_after=2)


def _words(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."


def _path(location: tuple[int | str, ...], prefix: str) -> str:
    path = prefix
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"
