"""What the adapters share in reading the SDKs' exceptions."""

from shared.storage.gateways.errors import StorageUnavailable


def status_of(error: Exception) -> int | None:
    """The HTTP status, or None where no answer came."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def error_code(error: Exception) -> str:
    """The service's own code, like `QueueNotFound`; "" where none came."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code or ""))


def unavailable(error: Exception) -> StorageUnavailable:
    """Whatever no port foresees; trying again can help when the service was busy, broken or silent."""
    status = status_of(error)
    retryable = status is None or status >= 500 or status in (408, 409, 429)
    return StorageUnavailable(str(error), retryable=retryable)
