"""What the adapters share in reading the SDKs' exceptions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.storage.gateways.ports import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

_BUSY = (408, 409, 429)


async def translated[T](call: Awaitable[T], translate: Callable[[AzureError], StorageError]) -> T:
    """What `call` gives, or the port's error for the SDK's."""
    from azure.core.exceptions import AzureError

    try:
        return await call
    except AzureError as error:
        raise translate(error) from error


def status_of(error: AzureError) -> int | None:
    """The HTTP status; None without a response."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def code_of(error: AzureError) -> str:
    """The service's own code for a failure, like `QueueNotFound`; "" without one."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code or ""))


def unavailable(error: AzureError) -> StorageUnavailable:
    """The error for what the caller has no use for."""
    return refused(status_of(error), code_of(error), str(error))


def refused(status: int | None, code: str, text: str) -> StorageUnavailable:
    """A retry can help if the service was busy, failed or did not respond, but not if it refused."""
    retryable = status is None or status >= 500 or status in _BUSY
    return StorageUnavailable(f"Answer {status} {code}: {text[:300]}", retryable=retryable)
