"""The asynchronous client; `project_aio.py` has the operations of one project.

`sync.py` is made from this file by `python -m scripts.unasync`; change this one.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol, Self, TypedDict, cast

import httpx

from labelbridge.client import models as m
from labelbridge.client.checks import Turns, checked, field_of, fits
from labelbridge.client.errors import ApiError, Retry, foreign, json_of, refuse_redirect, unreachable
from labelbridge.client.project_aio import PROJECTS, AsyncJob, AsyncProjectClient, Json

API_VERSION = "2023-04-15-preview"
DEAD_LETTERS = "/language/events/dead-letters"
#: Pauses before the repeats of a request, in seconds.
PAUSES = (0.5, 1.0, 2.0, 4.0)
#: A token is renewed when it is valid for less than this, in seconds.
TOKEN_MARGIN = 300


class Page(TypedDict, total=False):
    """What a page of a list has beside its items."""

    nextLink: str | None
    continuationToken: str | None


class TrainingConfigVersion(TypedDict):
    trainingConfigVersion: str


class AsyncCredential(Protocol):
    """Of `azure-identity`, or anything else that has tokens: `token`, and `expires_on` in seconds since 1970."""

    async def get_token(self, *scopes: str) -> Any: ...


class AsyncClient:
    """The API of one function app, signed in with an access key or with tokens of Microsoft Entra ID.

        async with AsyncClient("https://app.azurewebsites.net", key="...") as client:
            async for document in client.project("mine").documents(status="autoLabeled"):
                ...

    Answers are the JSON of the API, typed as dictionaries. Everything raises NotReachable and ApiError. Requests
    are repeated after `pauses` where that is safe; `on_retry` is called before each repeat with the reason and the
    seconds to wait. `transport` is for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        credential: AsyncCredential | None = None,
        scope: str = "",
        timeout: float = 60,
        pauses: Sequence[float] = PAUSES,
        on_retry: Callable[[str, float], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            headers={"Ocp-Apim-Subscription-Key": key} if key else {},
            timeout=timeout,
            transport=transport,
        )
        self._credential = credential
        self._scope = scope
        self._token: tuple[str, float] = ("", 0)
        self._pauses = tuple(pauses)
        self._on_retry = on_retry
        self._reached = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Json = None,
        headers: Mapping[str, str | None] | None = None,
        repeatable: bool = True,
        version: str | None = API_VERSION,
    ) -> httpx.Response:
        """One request to a path, or to an address that the API gave. A POST gets an `Idempotency-Key`.

        Parameters and headers that are None are left out.
        """
        given = {k: v for k, v in (params or {}).items() if v is not None}
        if version and "api-version=" not in path:
            given["api-version"] = version
        sent = {k: v for k, v in (headers or {}).items() if v is not None}
        if method == "POST":
            sent.setdefault("Idempotency-Key", uuid.uuid4().hex)
        retry = Retry(self._pauses, repeatable=repeatable, reached=self._reached)
        url = self._url(path).copy_merge_params(given)
        while True:
            try:
                request = self.http.build_request(
                    method, url, json=body, headers=sent | await self._authorization()
                )
                answer = await self.http.send(request)
            except httpx.RequestError as error:
                failure = unreachable(self.http.base_url, error)
                pause = retry.pause_after_error(error)
                if pause is None:
                    raise failure from error
            else:
                self._reached = True
                if not answer.is_error:
                    refuse_redirect(answer)
                    return answer
                failure = ApiError(answer, repeated=retry.tries > 0)
                pause = retry.pause_after(answer)
                if pause is None:
                    raise failure
            if self._on_retry is not None:
                self._on_retry(str(failure), pause)
            await asyncio.sleep(pause)

    def _url(self, path: str) -> httpx.URL:
        """The address to call. Of an absolute one only path and query count: keys go to our own server alone."""
        base = self.http.base_url
        if not path.startswith(("http://", "https://")):
            return base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode())
        return base.copy_with(raw_path=httpx.URL(path).raw_path)

    async def _authorization(self) -> dict[str, str]:
        if self._credential is None:
            return {}
        token, expires = self._token
        if expires - time.time() < TOKEN_MARGIN:
            made = await self._credential.get_token(self._scope)
            token = made.token
            self._token = (token, made.expires_on)
        return {"Authorization": f"Bearer {token}"}

    async def pages(self, path: str, kind: Any = dict, /, **params: Any) -> AsyncIterator[Any]:
        """The items of a list, through all its pages, whether by `continuationToken` or by `nextLink`.

        `kind`: the model of an item. Raises NotReachable for a list that never ends.
        """
        turns = Turns()
        while True:
            answer = await self.call("GET", path, params=params)
            page = checked(answer, Page)
            items = field_of(answer, "value", list[kind])
            for item in items:
                yield item
            link, token = page.get("nextLink"), page.get("continuationToken")
            if not link and not token:
                return
            turns.go_on(answer, link or token or "", items)
            if link:
                path, params = link, {}
            else:
                params["continuationToken"] = token

    async def health(self) -> m.Health:
        return checked(await self.call("GET", "/health", version=None), m.Health)

    async def ready(self) -> m.Readiness:
        """Each dependency of the app, even if one of them fails."""
        try:
            answer = await self.call("GET", "/health/ready", version=None, repeatable=False)
        except ApiError as error:
            if "checks" not in error.body or not fits(error.body, m.Readiness):
                raise
            return cast("m.Readiness", error.body)
        return checked(answer, m.Readiness)

    async def who_am_i(self) -> m.WhoAmI:
        answer = await self.call("GET", "/language/whoami", version=None)
        caller = checked(answer, m.WhoAmI)
        if "name" not in caller or "roles" not in caller:
            raise foreign(answer)
        return caller

    async def openapi(self) -> dict[str, Any]:
        return json_of(await self.call("GET", "/language/openapi.json", version=None))

    async def studio_config(self) -> m.StudioConfig:
        """How people sign in, and the studios that projects can be connected to."""
        return checked(await self.call("GET", "/studio/config.json", version=None), m.StudioConfig)

    def projects(self) -> AsyncIterator[m.Project]:
        return self.pages(PROJECTS, m.Project)

    async def languages(self) -> dict[str, str]:
        """Names of the languages that documents may have, by code."""
        found = self.pages(f"{PROJECTS}/global/languages", dict[str, str])
        return {language["languageCode"]: language["languageName"] async for language in found}

    async def training_config_versions(self) -> list[str]:
        found = self.pages(f"{PROJECTS}/global/training-config-versions", TrainingConfigVersion)
        return [version["trainingConfigVersion"] async for version in found]

    def dead_letters(self) -> AsyncIterator[m.DeadLetter]:
        """The events that a receiver did not accept in ten attempts."""
        return self.pages(DEAD_LETTERS, m.DeadLetter)

    async def resend_dead_letters(self, ids: Sequence[str] | None = None) -> int:
        """Send dead letters again, those named or all, at most 100; how many they were. Without `ids`, 0: no more."""
        body = {} if ids is None else {"ids": list(ids)}
        answer = await self.call("POST", f"{DEAD_LETTERS}/:resend", body=body)
        return field_of(answer, "resent", int)

    def project(self, name: str) -> AsyncProjectClient:
        """The operations of one project, which need not exist yet."""
        return AsyncProjectClient(self, name)

    def job(self, url: str) -> AsyncJob:
        """A job by its address, as `operation-location` gave it."""
        return AsyncJob(self, url)
