"""Calls to the service: one client for the process, limits per minute, and retries.

429                     wait as long as `Retry-After` says (all calls of the process wait), up to five tries
408, 5xx, no connection a pause that doubles, up to three tries
timeout                 one more try; the limit is for the whole response, however slowly it arrives. A document's
                        first timeout does not count if others were answered meanwhile
401, 403, 404, quota    no document can succeed: the others are not sent
other 4xx, redirects    this document fails

A server is not trusted: no redirect is followed, and responses are bounded in size and time.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import inf, isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from shared.domain.jobs import CONTENT_FILTERED, JobError
from shared.domain.text import NO_TOKENS, Tokens
from shared.engines.azure_openai.answers import Token
from shared.engines.azure_openai.prompts import Message
from shared.engines.azure_openai.turns import Turns
from shared.engines.base import NO_DEADLINE, Deadline, keep_secret, redacted
from shared.engines.responses import Unreadable, bounded_body, retry_after

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from httpx2 import AsyncClient, Request, Response
    from openai import APIStatusError, AsyncOpenAI

log = logging.getLogger("labelbridge.engines")

SCOPE: Final = "https://cognitiveservices.azure.com/.default"
LONGEST_PAUSE: Final = 60.0
FIRST_PAUSE: Final = 0.5
TRIES: Final = {"busy": 5, "unavailable": 3, "timeout": 2}
MAX_REASON: Final = 300
#: Limits: characters of an answer, and tokens whose log-probabilities are read.
MAX_CONTENT: Final = 200_000
MAX_TOKENS: Final = 20_000
_MINUTE: Final = 60.0
_NO_COMPLETION: Final = "The service returned a response that is not a chat completion; check its address."
#: Parameters that not every server or model knows; `max_tokens` replaces the one before it.
_OPTIONAL: Final = ("logprobs", "temperature", "max_completion_tokens", "max_tokens")

#: Errors of the package for an unexpected response.
_MALFORMED: Final = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


class CallFailed(Exception):
    """The service gave no answer for a document. `hopeless`: all other documents would fail, too."""

    def __init__(
        self, code: str, message: str, *, hopeless: bool = False, tokens: Tokens = NO_TOKENS
    ) -> None:
        super().__init__(message)
        self.error = JobError(code, message)
        self.hopeless = hopeless
        self.tokens = tokens


class OutOfTime(Exception):
    """The request could not be sent before its deadline. `failure`: the timeout of the previous attempt, if any."""

    def __init__(self, failure: CallFailed | None = None) -> None:
        super().__init__()
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of an answer with its tokens, and the tokens that the call used."""

    content: str
    tokens: tuple[Token, ...]
    used: Tokens


@dataclass(frozen=True, slots=True)
class Target:
    """The server: `endpoint` with `deployment` on Azure OpenAI, otherwise `base_url`. Azure without a key uses
    `identity`.
    """

    model: str
    base_url: str = ""
    endpoint: str = ""
    api_version: str = ""
    key: str = ""


class Pace:
    """The maximum requests and tokens in any minute; 0: no limit."""

    def __init__(self, requests: int = 0, tokens: int = 0, clock: Callable[[], float] = monotonic) -> None:
        self._requests, self._tokens = requests, tokens
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque()
        self._resumes = 0.0

    def minutes(self, requests: int, tokens: int) -> float:
        """The minimum time for a number of requests and tokens, in minutes."""
        by_requests = requests / self._requests if self._requests else 0.0
        return max(by_requests, tokens / self._tokens if self._tokens else 0.0)

    def pause(self, seconds: float) -> None:
        """No request starts before this many seconds have passed."""
        self._resumes = max(self._resumes, self._clock() + seconds)

    async def turn(self, tokens: int, left: Callable[[], float] = lambda: inf) -> None:
        """Wait until a request with this many tokens may begin. One larger than the limit goes alone.

        Raises OutOfTime if that would take longer than the seconds that are left.
        """
        while True:
            wait = self.wait(tokens)
            if wait >= left():
                raise OutOfTime
            if not wait:
                break
            await asyncio.sleep(wait)
        self._sent.append((self._clock(), tokens))

    def wait(self, tokens: int) -> float:
        """The least number of seconds until it may begin; 0: now."""
        now = self._clock()
        while self._sent and self._sent[0][0] <= now - _MINUTE:
            self._sent.popleft()
        wait = self._resumes - now
        spent = sum(size for _, size in self._sent)
        full = self._requests and len(self._sent) >= self._requests
        full = full or (self._tokens and self._sent and spent + tokens > self._tokens)
        if full:
            wait = max(wait, self._sent[0][0] + _MINUTE - now)
        return max(0.0, wait)


class Client:
    """Sends requests to one server. `identity` makes the credential for Azure without a key."""

    def __init__(
        self, target: Target, pace: Pace, timeout: float, identity: "Callable[[], AsyncTokenCredential]"
    ) -> None:
        keep_secret(target.key)
        self._target = target
        self._pace = pace
        self._timeout = timeout
        self._identity = identity
        self._made: AsyncOpenAI | None = None
        self._credential: AsyncTokenCredential | None = None
        self._lock = asyncio.Lock()
        self._unknown: set[str] = set()
        self._turns = Turns()

    async def complete(
        self,
        messages: list[Message],
        response_format: dict[str, Any],
        *,
        tokens: int,
        most: int,
        characters: int,
        deadline: Deadline = NO_DEADLINE,
    ) -> Reply:
        """The answer to the messages. `tokens`: roughly how many they have; `most`: the longest answer, in tokens.

        Raises CallFailed, and OutOfTime if nothing was sent before the deadline, or after the one timeout that does not
        count as an attempt. A request is tried again only if there is time for an answer.
        """
        from azure.core.exceptions import AzureError

        client = await self._client()
        from openai import APITimeoutError, OpenAIError

        tries: dict[str, int] = {}
        patience = self._timeout + characters / 1_000
        failure: CallFailed | None = None
        excused: CallFailed | None = None
        sent = False
        while True:
            left = (lambda: deadline.to_end() - patience) if sent else deadline.to_begin
            waited = False
            try:
                await self._pace.turn(tokens, left)
                async with self._turn(left, first=excused is not None) as before:
                    sent = True
                    seconds = min(patience, deadline.to_end())
                    try:
                        async with asyncio.timeout(seconds):  # the package's is for each piece of a response
                            answer = await self._send(client, messages, response_format, most, seconds)
                    except (TimeoutError, APITimeoutError):  # before the next request takes the turn
                        waited = self._turns.timed_out(before)
                        raise
                    self._turns.answered()
                return _reply(answer)
            except OutOfTime:
                if failure:
                    raise failure from None
                raise OutOfTime(excused) from None
            except (OpenAIError, AzureError, Unreadable, TimeoutError, *_MALFORMED) as error:
                if self._leaves_out(error):
                    continue
                if waited and excused is None:
                    text = "A request timed out while others were answered; at most %d concurrent requests from now on."
                    log.warning(text, self._turns.limit)
                    excused = _judge(error)[1]
                    await asyncio.sleep(FIRST_PAUSE)
                else:
                    failure = await self._pause_or_raise(error, tries, deadline.to_end() - patience)

    @asynccontextmanager
    async def _turn(self, left: Callable[[], float], *, first: bool) -> AsyncGenerator[int]:
        """Wait for a turn among the concurrent requests. Raises OutOfTime."""
        seconds = left()
        if seconds <= 0:
            raise OutOfTime
        async with AsyncExitStack() as taken:
            try:
                async with asyncio.timeout(seconds if isfinite(seconds) else None):
                    before = await taken.enter_async_context(self._turns.turn(first=first))
            except TimeoutError:
                raise OutOfTime from None
            yield before

    async def aclose(self) -> None:
        """Close the connections."""
        if self._made is not None:
            await self._made.close()
        if self._credential is not None:
            await self._credential.close()

    async def _send(
        self,
        client: "AsyncOpenAI",
        messages: list[Message],
        response_format: dict[str, Any],
        most: int,
        seconds: float,
    ) -> Any:
        optional: dict[str, Any] = {"logprobs": True, "temperature": 0, "max_completion_tokens": most}
        if "max_completion_tokens" in self._unknown:
            optional["max_tokens"] = most
        create = cast("Any", client.chat.completions.create)
        return await create(
            model=self._target.model,
            messages=messages,
            response_format=response_format,
            timeout=seconds,
            **{name: value for name, value in optional.items() if name not in self._unknown},
        )

    async def _client(self) -> "AsyncOpenAI":
        async with self._lock:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made

    def _make(self) -> "AsyncOpenAI":
        """Slow: it imports the package and reads the certificates."""
        from openai import AsyncAzureOpenAI, AsyncOpenAI

        target = self._target
        options: dict[str, Any] = {"max_retries": 0, "http_client": _http_client()}
        if not target.endpoint:
            # Without a key the package would look for one in the environment.
            return AsyncOpenAI(base_url=target.base_url, api_key=target.key or "none", **options)
        if not target.key:
            from azure.identity.aio import get_bearer_token_provider

            self._credential = self._identity()
            options["azure_ad_token_provider"] = get_bearer_token_provider(self._credential, SCOPE)
        else:
            options["api_key"] = target.key
        return AsyncAzureOpenAI(
            azure_endpoint=target.endpoint,
            azure_deployment=target.model,
            api_version=target.api_version,
            **options,
        )

    def _leaves_out(self, error: Exception) -> bool:
        """Whether the server rejects an optional parameter, which is then left out from now on."""
        from openai import APIStatusError

        # 403: OpenAI's reasoning models do not allow log-probabilities.
        if not isinstance(error, APIStatusError) or error.status_code not in {400, 403, 422}:
            return False
        body = _body_of(error)
        known = [name for name in _OPTIONAL if name not in self._unknown]
        param, message = _text(body, "param"), _text(body, "message")
        named = next((n for n in known if n == param), None) or next((n for n in known if n in message), None)
        if named is None or _is_filter(body):
            return False
        log.info("The server does not accept the parameter '%s'; it is left out.", named)
        self._unknown |= {named, "max_completion_tokens"} if named == "max_tokens" else {named}
        return True

    async def _pause_or_raise(self, error: Exception, tries: dict[str, int], left: float) -> CallFailed:
        """Wait before the next attempt, at most the remaining seconds; return the failure if there are none.

        Raises CallFailed if there is no other attempt.
        """
        kind, failure = _judge(error)
        if kind is None:
            raise failure from error
        tries[kind] = tries.get(kind, 0) + 1
        log.warning("Attempt %d of %d failed: %s", tries[kind], TRIES[kind], failure.error.code)
        if tries[kind] >= TRIES[kind]:
            raise failure from error
        asked = retry_after(getattr(getattr(error, "response", None), "headers", {}))
        pause = FIRST_PAUSE * 2 ** (tries[kind] - 1) * random.uniform(0.8, 1.2) if asked is None else asked
        pause = min(pause, LONGEST_PAUSE)
        if kind == "busy":
            self._pace.pause(pause)  # other calls would be refused as well
        if pause > left:
            raise failure from error
        if kind != "busy":
            await asyncio.sleep(pause)
        return failure


def _http_client() -> "AsyncClient":
    """A redirect would take the document, and on Azure the key, to another server: none is followed.

    Responses are bounded.
    """
    from openai import DefaultAsyncHttpxClient

    class Bounded(DefaultAsyncHttpxClient):
        async def send(self, request: "Request", *, stream: bool = False, **options: Any) -> "Response":
            response = await super().send(request, stream=True, **options)
            try:
                encoding = response.headers.get("Content-Encoding")
                body = await bounded_body(response.status_code, encoding, response.aiter_raw())
            finally:
                await response.aclose()
            headers = [pair for pair in response.headers.multi_items() if pair[0] != "content-encoding"]
            return type(response)(response.status_code, headers=headers, content=body, request=request)

    return Bounded(follow_redirects=False, headers={"Accept-Encoding": "identity"})


def _judge(error: Exception) -> tuple[str | None, CallFailed]:
    """The kind of retry (None: no retry), and the failure after the last attempt."""
    import openai
    from azure.core.exceptions import AzureError

    match error:
        case openai.APITimeoutError() | TimeoutError():
            return "timeout", CallFailed(
                "EngineTimeout", "The service did not answer in time (see OPENAI_TIMEOUT_SECONDS)."
            )
        case openai.APIStatusError():
            return _judge_status(error)
        case openai.APIConnectionError():
            return "unavailable", CallFailed("EngineUnavailable", "The service cannot be reached.")
        case AzureError():
            text = f"The app's identity has no access to the service ({type(error).__name__})."
            return None, CallFailed("EngineAccessDenied", text, hopeless=True)
        case Unreadable():
            return None, CallFailed("InvalidAnswer", f"The service returned a response that is {error}.")
        case _:
            log.warning("A response of the service cannot be read (%s).", type(error).__name__)
            return None, CallFailed("InvalidAnswer", _NO_COMPLETION)


def _judge_status(error: "APIStatusError") -> tuple[str | None, CallFailed]:
    status, body = error.status_code, _body_of(error)
    said = f"({status}{': ' + reason if (reason := _reason(body)) else ''})."
    code = _text(body, "code")
    if _is_filter(body):
        return None, CallFailed(CONTENT_FILTERED, "The content filter of the service refused the document.")
    if status in {401, 403}:
        text = (
            f"The service rejected the app's credentials {said} Check the key, or the role of its identity."
        )
        return None, CallFailed("EngineAccessDenied", text, hopeless=True)
    if status == 404:
        text = f"The service has no such address, model or deployment {said}"
        return None, CallFailed("EngineNotFound", text, hopeless=True)
    if status == 429 and code == "insufficient_quota":
        return None, CallFailed(
            "EngineQuotaExceeded", f"The quota of the service is used up {said}", hopeless=True
        )
    if status == 429:
        return "busy", CallFailed("EngineThrottled", f"The service is limiting requests {said}")
    if status >= 500 or status in {408, 409}:
        return "unavailable", CallFailed(
            "EngineUnavailable", f"The service is temporarily unavailable {said}"
        )
    return None, CallFailed("EngineRefused", f"The service refused the request {said}")


def _reply(answer: Any) -> Reply:
    """Raises CallFailed for an answer without content."""
    usage = getattr(answer, "usage", None)
    used = Tokens(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise CallFailed("InvalidAnswer", _NO_COMPLETION, tokens=used)
    choice: Any = cast("list[Any]", choices)[0]
    message = getattr(choice, "message", None)
    content, reason = getattr(message, "content", None), getattr(choice, "finish_reason", None)
    if reason == "content_filter":
        text = "The content filter of the service stopped the answer."
        raise CallFailed(CONTENT_FILTERED, text, tokens=used)
    if getattr(message, "refusal", None):
        raise CallFailed(CONTENT_FILTERED, "The model refused to answer for this document.", tokens=used)
    if reason == "length":
        text = "The model's response was too long and was cut off (see OPENAI_MAX_ANSWER_TOKENS)."
        raise CallFailed("AnswerTruncated", text, tokens=used)
    if not isinstance(content, str) or not content.strip():
        raise CallFailed("InvalidAnswer", "The model's response is empty.", tokens=used)
    if len(content) > MAX_CONTENT:
        raise CallFailed("AnswerTruncated", "The model's response is too long to be read.", tokens=used)
    return Reply(content, tuple(_tokens(choice)), used)


def _tokens(choice: Any) -> list[Token]:
    """The tokens of the answer with their log-probabilities; empty if one is malformed or there are too many."""
    listed = getattr(getattr(choice, "logprobs", None), "content", None)
    if not isinstance(listed, list) or len(cast("list[Any]", listed)) > MAX_TOKENS:
        return []
    tokens: list[Token] = []
    for item in cast("list[Any]", listed):
        text, raw, logprob = (getattr(item, name, None) for name in ("token", "bytes", "logprob"))
        if not isinstance(text, str) or not isinstance(logprob, int | float):
            return []
        try:
            given = isinstance(raw, list)
            content = bytes(cast("list[int]", raw)) if given else text.encode("utf-8", "surrogatepass")
            tokens.append(Token(content, float(logprob)))
        except (TypeError, ValueError, OverflowError):
            return []
    return tokens


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _body_of(error: "APIStatusError") -> dict[str, Any]:
    """The object `error` of the answer; empty if there is none."""
    body = error.body
    if isinstance(body, dict):
        inner: Any = cast("dict[str, Any]", body).get("error", body)
        return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {"message": inner}
    return {}


def _text(body: dict[str, Any], name: str) -> str:
    """A field of the answer; empty if it is not a text or number."""
    value = body.get(name)
    return str(value) if isinstance(value, str | int) else ""


def _is_filter(body: dict[str, Any]) -> bool:
    inner = body.get("innererror")
    inner_code = _text(cast("dict[str, Any]", inner), "code") if isinstance(inner, dict) else ""
    return not {_text(body, "code"), inner_code}.isdisjoint(
        {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
    )


def _reason(body: dict[str, Any]) -> str:
    """The service's message, on one line."""
    return redacted(" ".join(_text(body, "message").split()))[:MAX_REASON].rstrip(".")
