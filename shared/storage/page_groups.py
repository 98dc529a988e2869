"""Writers of single pages in one process, gathered: those that wait while a transaction is under way share the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from shared.domain.page import Change, Head, HistoryEntry, Page, Written
from shared.domain.project import Project, Scope
from shared.storage.gateways.ports import Insert, Replace, UpsertReplace

type Put = Insert | Replace | UpsertReplace

GROUP = 30
"""Writers of one transaction: a page, a head and a history row each make at most 90 of its 100 operations."""


class ProjectHandle(Protocol):
    """A project as last read, that can be read again."""

    @property
    def current(self) -> Project: ...

    async def refresh(self) -> Project: ...


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, when, and the revision that lets the write be recognized as the writer's own."""

    name: str
    at: datetime
    revision: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A page as it will be, with the rows that make it so: the page, its head if it changes, the history if any.

    `changes`: what the history says.
    """

    page: Page
    head: Head
    operations: tuple[Put, ...]
    changes: tuple[HistoryEntry, ...] = ()


@dataclass(slots=True, eq=False)
class Request:
    """One caller's change of one page."""

    handle: ProjectHandle
    number: int
    change: Change
    author: Author
    context: Context = field(default_factory=copy_context)
    done: asyncio.Future[Written] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, outcome: Written | BaseException) -> None:
        """Let the caller go on; nothing to do for one that was canceled."""
        if self.done.done():
            return
        if isinstance(outcome, Written):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)


type Outcome = tuple[Request, Project | Exception, Page]
"""A request, the project that its change rested on (or why it is refused), and the page after it."""


@dataclass(slots=True, eq=False)
class Draft:
    """The requests for one page, applied one after the other to the page as it is taken to be.

    `fresh`: the page was read for them, or has to be. One that was remembered is right only if the commit at its etag
    succeeds. `planned`: what has to be committed before the requests are answered.
    """

    number: int
    requests: list[Request]
    fresh: bool = False
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    planned: Planned | None = None

    def answer(self, etag: str | None) -> None:
        """Tell the callers what became of their changes; `etag`: of the page as it is now."""
        self.planned = None
        for request, outcome, page in self.outcomes:
            if isinstance(outcome, Exception):
                request.answer(outcome)
            else:
                request.answer(Written(outcome, {self.number: replace(page, etag=etag)}))

    def fail(self, error: BaseException) -> None:
        """All requests end with this error."""
        self.planned = None
        for request in self.requests:
            request.answer(error)


class PageGroups:
    """One transaction at a time for each project; `write` answers the requests of a group.

    It answers at least one; those that it leaves, because they would not fit the transaction, go with the next.
    """

    def __init__(self, write: Callable[[Scope, Sequence[Draft]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: dict[Scope, deque[Request]] = {}
        self._writers: dict[Scope, asyncio.Task[None]] = {}

    async def add(self, scope: Scope, request: Request) -> Written:
        """Returns when the change is durable, or raises what became of it."""
        self._waiting.setdefault(scope, deque()).append(request)
        if scope not in self._writers:
            self._writers[scope] = asyncio.create_task(self._serve(scope))
        return await request.done

    async def _serve(self, scope: Scope) -> None:
        waiting = self._waiting[scope]
        try:
            while waiting:
                group = [waiting.popleft() for _ in range(min(GROUP, len(waiting)))]
                group = [request for request in group if not request.done.done()]
                if group:  # in the context of a caller, so that a trace shows the calls
                    await asyncio.create_task(self._round(scope, group), context=group[0].context)
        finally:
            del self._writers[scope]
            del self._waiting[scope]

    async def _round(self, scope: Scope, group: Sequence[Request]) -> None:
        try:
            await self._write(scope, list(_drafts(group)))
        except BaseException as error:
            for request in group:
                request.answer(error)
            if not isinstance(error, Exception):
                raise
        left = [request for request in group if not request.done.done()]
        self._waiting[scope].extendleft(reversed(left))


def _drafts(group: Sequence[Request]) -> Iterator[Draft]:
    by_page: dict[int, list[Request]] = {}
    for request in group:
        by_page.setdefault(request.number, []).append(request)
    return (Draft(number, requests) for number, requests in by_page.items())
