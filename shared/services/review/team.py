"""The tools of a lead: progress by person and day, and assignments."""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from shared.domain.errors import InvalidArgument
from shared.domain.names import DocumentStatus
from shared.domain.page import page_of
from shared.domain.project import Project
from shared.domain.team import NO_WORK, Assignment, Work, assigned, assignments, work_of
from shared.services.jobs.stores import Stores
from shared.services.review.listing import DocumentQuery, list_documents
from shared.storage.pages import Author, gather

MAX_DAYS = 366
#: Pages whose new changes are counted in one request; the next one continues.
PAGES_A_REQUEST = 256
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class DayOfWork:
    """What a person did on a day of UTC."""

    day: date
    by: str
    work: Work


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest day first. `complete` False: more of the history is to be counted; ask again."""

    days: tuple[DayOfWork, ...]
    complete: bool


class TeamService:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def progress(self, name: str, first: date, last: date) -> tuple[Project, Progress]:
        """The work of each person on each day from `first` to `last`, after counting what is new."""
        if first > last:
            raise InvalidArgument("'fromDate' is after 'toDate'.", target="fromDate")
        if (last - first).days >= MAX_DAYS:
            raise InvalidArgument(
                f"'fromDate' to 'toDate' must be at most {MAX_DAYS} days.", target="fromDate"
            )
        project = await self._stores.directory.read(name)
        complete = await self._count(project)
        found = await self._stores.progress.work(project.incarnation, first, last)
        days = (DayOfWork(day, by, work) for (day, by), work in found.items())
        ordered = sorted(days, key=lambda d: (-d.day.toordinal(), d.by))
        return project, Progress(tuple(ordered), complete)

    async def _count(self, project: Project) -> bool:
        """Count the changes of a limited number of pages that changed since the last time; return whether that is
        all.
        """
        store, incarnation = self._stores.progress, project.incarnation
        for _ in range(ATTEMPTS):
            counted = await store.counted(incarnation)
            versions = await store.versions(project.scope)
            changed = {n: seq for n, seq in versions.items() if seq > counted.pages.get(n, 0)}
            if not changed:
                return True
            pages = dict(list(changed.items())[:PAGES_A_REQUEST])
            places = [(n, counted.pages.get(n, 0), last) for n, last in pages.items()]
            changes = await gather((lambda p=place: store.changes(incarnation, *p)) for place in places)
            work: dict[tuple[date, str], Work] = {}
            for (_, after, _), found in zip(places, changes, strict=True):
                for key, more in work_of(found, after).items():
                    work[key] = work.get(key, NO_WORK).plus(more)
            if await store.add(incarnation, counted, pages, work):
                return len(pages) == len(changed)
        return False  # another request counts at the same time

    async def assign(
        self, name: str, assignee: str, query: DocumentQuery, count: int, by: str, number: str
    ) -> tuple[int, bool]:
        """Assign the first `count` documents of a list to a person, "" to nobody.

        Answers how many of them are now assigned so, and whether the list has more. The same `number` again assigns
        the same documents. When the query asks for those of one person, what someone else assigned meanwhile stays.
        """
        handle = await self._stores.directory.fresh(name)
        project = handle.current
        chosen = await self._stores.assignments.find(project.incarnation, number)
        if chosen is None:
            found = await list_documents(self._stores.pages, project, query, count, None)
            ids = tuple(document.id for document in found.documents)
            chosen = Assignment(assignee, ids, query.assignee, found.token is not None)
            chosen = await self._stores.assignments.create(
                project.incarnation, number, chosen, by, self._stores.clock()
            )
        author = Author(by, self._stores.clock(), number)
        pages = {page_of(key, project.pages) for key in chosen.documents}
        written = await self._stores.pages.write(handle, pages, assigned(chosen), author, ignores_fence=True)
        now = {key: d.assignee for page in written.pages.values() for key, d in page.documents.items()}
        return sum(now.get(key) == chosen.assignee for key in chosen.documents), chosen.more

    async def assignments(self, name: str) -> dict[str, Counter[DocumentStatus]]:
        """How many documents of each status each person has, by name; "": nobody."""
        project = await self._stores.directory.read(name)
        return assignments(project, await self._stores.pages.heads(project.scope))
