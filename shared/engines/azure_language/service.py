"""Shared by both APIs of the service: credentials, calls, and the meaning of errors."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, isfinite
from typing import Any, Final, cast
from urllib.parse import urlsplit

from azure.core.credentials import AzureKeyCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline import PipelineResponse

from shared.domain.jobs import JobError
from shared.engines import responses
from shared.engines.base import EngineError, EngineUnavailable, keep_secret, redacted
from shared.engines.responses import Unreadable, bounded_body

#: The stable version of both APIs; the clients default to a preview.
API_VERSION: Final = "2023-04-01"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})
MAX_RETRY_AFTER: Final = 300
#: The limit of a call with its whole response; the client's own limit is for each piece of a response.
CALL_SECONDS: Final = 120.0
_TRY_AGAIN: Final = frozenset({408, 429})
#: The delay if the service names none.
_BUSY_SECONDS: Final = 10
_MAX_MESSAGE: Final = 500
_UNREADABLE: Final = "Azure Language sent a response that cannot be read."


@dataclass(frozen=True)
class LanguageOptions:
    """The settings LANGUAGE_*. `identity` makes the app's identity, which is used without a key. All calls share one,
    because each new one would request its own token.
    """

    endpoint: str
    key: str = ""
    project: str = ""
    deployment: str = ""
    identity: Callable[[], AsyncTokenCredential] | None = None

    def __post_init__(self) -> None:
        keep_secret(self.key)

    @cached_property
    def credential(self) -> AzureKeyCredential | AsyncTokenCredential:
        if self.key:
            return AzureKeyCredential(self.key)
        if self.identity is None:
            raise EngineError("Azure Language needs LANGUAGE_KEY or a managed identity.")
        return self.identity()

    async def close(self) -> None:
        """Release the connections of the identity."""
        credential = self.__dict__.pop("credential", None)
        if isinstance(credential, AsyncTokenCredential):
            await credential.close()

    @property
    def client_options(self) -> dict[str, Any]:
        """Options for a client, made in the event loop. Queue messages do the retries: no function sleeps.

        A redirect would take documents and the key, which is in a header of the service's own, to another server.
        """
        return {
            "api_version": API_VERSION,
            "permit_redirects": False,
            "transport": _bounded_transport(),
            "retry_total": 0,
        }

    @property
    def call_options(self) -> dict[str, Any]:
        """Options for each call: a token is sent without TLS only to this machine. The policy for keys has no such
        option.
        """
        return {} if self.key else {"enforce_https": urlsplit(self.endpoint).hostname not in LOOPBACK}


def _bounded_transport() -> Any:
    """A transport whose responses are bounded."""
    from aiohttp import ClientResponse, ClientSession, DummyCookieJar
    from azure.core.pipeline.transport import AioHttpTransport

    class Bounded(ClientResponse):
        async def read(self) -> bytes:
            if self._body is None:
                encoding = self.headers.get("Content-Encoding")
                try:
                    self._body = await bounded_body(self.status, encoding, self.content.iter_any())
                finally:
                    if not self.content.at_eof():
                        self.close()
            return self._body

    session = ClientSession(
        response_class=Bounded,
        headers={"Accept-Encoding": "identity"},
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=True,
    )
    return AioHttpTransport(session=session, connection_timeout=10, read_timeout=100)


class Refused(EngineError):
    """The service refused the request permanently. `status` is the HTTP status; below 400, the service accepted the
    request, but its response is not read.
    """

    def __init__(self, status: int, reason: JobError) -> None:
        super().__init__(reason.message)
        self.status = status
        self.reason = reason


class Busy(EngineUnavailable):
    """The service asks to wait for a number of seconds."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


@asynccontextmanager
async def service_call() -> AsyncGenerator[None]:
    """Turn the client's errors into Refused, Busy or EngineUnavailable; the last also after CALL_SECONDS."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except Unreadable as error:
        raise Refused(
            200, JobError("InvalidAnswer", f"Azure Language sent a response that is {error}.")
        ) from error
    except TimeoutError as error:
        raise EngineUnavailable("Azure Language did not respond in time.") from error
    except HttpResponseError as error:
        raise _meaning(error) from error
    except AzureError as error:
        raise EngineUnavailable(f"Azure Language does not respond ({type(error).__name__}).") from error
    except (ValueError, RecursionError) as error:  # not JSON, or nested too deeply
        raise EngineUnavailable(_UNREADABLE) from error


def _meaning(error: HttpResponseError) -> EngineError:
    response: Any = error.response
    if response is None and isinstance(error, ClientAuthenticationError):
        return EngineUnavailable(f"The app cannot sign in to Azure Language: {redacted(error.message)}")
    if response is None:
        return EngineUnavailable(f"Azure Language does not respond ({type(error).__name__}).")
    status, reason = int(response.status_code), _reason(response, error)
    wait = retry_after(response.headers)
    text = f"Azure Language answered {status} ({reason.code}): {reason.message}"
    if status in _TRY_AGAIN or (status >= 500 and wait is not None):
        return Busy(text, _BUSY_SECONDS if wait is None else wait)
    if status >= 500 or status < 400:
        return EngineUnavailable(text)
    return Refused(status, reason)


def _reason(response: Any, error: HttpResponseError) -> JobError:
    try:
        body: Any = response.json()
    except (ValueError, RecursionError, AzureError):
        body = None
    found: Any = cast("Mapping[str, Any]", body).get("error") if isinstance(body, dict) else None
    return reason_in(found, f"{response.status_code}", redacted(str(error.reason or "no reason")))


def reason_in(error: Any, code: str = "Unknown", message: str = "The service gave no reason.") -> JobError:
    """The innermost code and message of an error object, as Azure's own client shows it."""
    target: str | None = None
    while isinstance(error, dict):
        found = cast("Mapping[str, Any]", error)
        code = redacted(str(found.get("code") or code))[:100]
        message = redacted(str(found.get("message") or message))[:_MAX_MESSAGE]
        target = redacted(str(found["target"]))[:100] if found.get("target") else target
        error = found.get("innererror")
    return JobError(code, message, target)


def retry_after(headers: Mapping[str, str]) -> int | None:
    """The seconds that a response asks to wait for, at most MAX_RETRY_AFTER."""
    wait = responses.retry_after(headers)
    return None if wait is None else ceil(min(wait, MAX_RETRY_AFTER))


class Received:
    """A hook for one call that keeps the headers of its response."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self._size = 0

    def __call__(self, response: PipelineResponse[Any, Any]) -> None:
        self.headers = cast("Mapping[str, str]", response.http_response.headers)

    def add(self, size: int) -> None:
        """Count the bytes of a page. Raises Unreadable."""
        self._size += size
        if self._size > responses.MAX_RESPONSE:
            raise responses.too_large()

    @property
    def retry_after(self) -> int | None:
        return retry_after(self.headers)

    @property
    def job_id(self) -> str:
        """The job id in `operation-location`; the rest of that address is not used."""
        where = urlsplit(str(self.headers.get("operation-location") or "")).path.rstrip("/")
        found = where.rpartition("/")[2]
        if not found or not all(character.isalnum() or character in "-_." for character in found):
            raise EngineUnavailable("Azure Language accepted a request without saying where its job is.")
        return found


@dataclass(frozen=True, slots=True)
class OperationState:
    """The state of an operation: for each document id the rows of its predictions, or its error.

    A row is [category, confidence]; for entities [category, confidence, offset, length, checksum of the text].
    """

    status: str
    documents: dict[str, list[list[Any]]]
    errors: dict[str, JobError]
    reason: JobError
    more: bool = False

    @property
    def count(self) -> int:
        """How many documents have an answer."""
        return len(self.documents) + len(self.errors)

    def with_page(self, page: "OperationState") -> "OperationState":
        """A state that also has the results of another page of the same operation."""
        documents, errors = self.documents | page.documents, self.errors | page.errors
        return replace(self, documents=documents, errors=errors, more=page.more)


def read_state(body: Mapping[str, Any]) -> OperationState:
    """The state of an operation in a response. Raises EngineUnavailable if it has none."""
    try:
        return _read_state(body)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise EngineUnavailable(_UNREADABLE) from error


def _read_state(body: Mapping[str, Any]) -> OperationState:
    documents: dict[str, list[list[Any]]] = {}
    errors: dict[str, JobError] = {}
    status = str(body["status"])
    tasks = cast("Mapping[str, Any]", body.get("tasks") or {})
    for item in cast("list[dict[str, Any]]", tasks.get("items") or []):
        results: Mapping[str, Any] = item.get("results") or {}
        for document in results.get("documents") or ():
            documents[str(document["id"])] = [_row(entity) for entity in document.get("entities") or ()] + [
                [str(label["category"]), _score(label)] for label in _classes(document)
            ]
        for error in results.get("errors") or ():
            errors[str(error["id"])] = reason_in(error.get("error"))
    found = body.get("errors") or [None]
    return OperationState(
        status, documents, errors, reason_in(found[0], "NoResult", _NO_RESULT), bool(body.get("nextLink"))
    )


_NO_RESULT: Final = "The service returned no result for the document."


def _classes(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The service writes `class` for both kinds; its documentation also shows `classes`."""
    found: Any = document.get("class") or document.get("classes") or ()
    return cast("Sequence[Mapping[str, Any]]", [found] if isinstance(found, dict) else found)


def _row(entity: Mapping[str, Any]) -> list[Any]:
    text = entity.get("text")
    check = checksum(text) if isinstance(text, str) else None
    offset, length = int(entity["offset"]), int(entity["length"])
    return [str(entity["category"]), _score(entity), offset, length, check]


def _score(found: Mapping[str, Any]) -> float:
    score = float(found["confidenceScore"])
    return score if isfinite(score) else 0.0


def checksum(text: str) -> int:
    """A checksum, to recognize the text of an entity without storing it."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
