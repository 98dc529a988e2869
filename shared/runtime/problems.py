"""Errors as answers in Azure's shape: `{"error": {code, message, target, details, innererror}}`."""

from typing import Any

from shared.domain import errors
from shared.domain.errors import LabelbridgeError
from shared.storage.gateways.ports import StorageUnavailable
from shared.wire.documents import document_json

_STATUS: tuple[tuple[type[LabelbridgeError], int], ...] = (
    (errors.InvalidArgument, 400),
    (errors.Unauthorized, 401),
    (errors.Forbidden, 403),
    (errors.QuotaExceeded, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.LengthRequired, 411),
    (errors.TooLarge, 413),
    (errors.UnsupportedMediaType, 415),
    (errors.PreconditionRequired, 428),
    (errors.NotOffered, 501),
    (errors.Unavailable, 503),
)


def status_of(error: LabelbridgeError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_json(error: LabelbridgeError) -> dict[str, Any]:
    data: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target:
        data["target"] = error.target
    if error.details:
        data["details"] = [error_json(detail) for detail in error.details]
    if error.inner_code:
        data["innererror"] = {"code": error.inner_code, "message": error.message}
    return data


def body_of(error: LabelbridgeError) -> dict[str, Any]:
    body: dict[str, Any] = {"error": error_json(error)}
    if isinstance(error, errors.StaleDocument):
        body["document"] = document_json(error.document, error.project)
    return body


def headers_of(error: LabelbridgeError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def from_storage(error: StorageUnavailable) -> LabelbridgeError:
    return errors.Unavailable("The storage account does not respond; try again.", retry_after=2)
