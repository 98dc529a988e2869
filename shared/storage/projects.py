"""Projects: the rows of partition `$index`, and the fence numbers that lock their pages."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, NamedTuple

from shared.domain.autolabel import MAX_PLAN_PAUSE, plan_pause
from shared.domain.category_edits import CategoryEdit, RequestedEdit
from shared.domain.errors import Conflict, ProjectNotFound
from shared.domain.names import ProjectKind, Studio
from shared.domain.project import (
    CATEGORY_EDIT,
    AutolabelSettings,
    Category,
    DeployedModel,
    FormerName,
    Guidelines,
    Lock,
    Project,
    ProjectSettings,
)
from shared.storage.gateways.limits import MAX_OPERATIONS
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    UpsertMerge,
    UpsertReplace,
    Value,
)
from shared.storage.page_codec import FENCE_COLUMNS
from shared.storage.rows import (
    INDEX,
    active_key,
    container_key,
    guidelines_key,
    int_of,
    key_range,
    packed_values,
    page_key,
    project_key,
    purge_key,
    str_of,
    unpacked_values,
)


class Purge(NamedTuple):
    """What is to be purged, and since when: an incarnation without a project, or, with `edition`, one edition."""

    incarnation: str
    edition: str
    since: datetime


class ProjectStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, name: str) -> Project | None:
        row = await self._table.get(INDEX, project_key(name))
        return _decode(row) if row else None

    async def get(self, name: str) -> Project:
        """Raises ProjectNotFound, also while the project is being deleted."""
        project = await self.find(name)
        if project is None or project.deleting:
            raise ProjectNotFound(name)
        return project

    async def names(self) -> list[str]:
        low, high = key_range(project_key(""))
        rows = await self._table.query(INDEX, low, high, select=["v"])
        return [row.key.split("|", 1)[1] for row in rows]

    async def all(self, after: str = "", limit: int | None = None) -> list[Project]:
        """Projects by name, those being deleted included."""
        low, high = key_range(project_key(""))
        start = project_key(after) + " " if after else low  # a space sorts before all that a name may hold
        rows = await self._table.query(INDEX, start, high, limit=limit)
        return [_decode(row) for row in rows]

    async def of_container(self, container: str) -> list[tuple[str, str]]:
        """Name and incarnation of the projects whose documents lie in the container."""
        low, high = key_range(container_key(container))
        rows = await self._table.query(INDEX, low, high)
        return [(row.key.split("|", 2)[2], str_of(row.values, "incarnation")) for row in rows]

    async def create(self, project: Project) -> Project:
        """Raises Conflict when the name is taken."""
        try:
            etags = await self._table.commit(INDEX, self.creation(project))
        except RowExists as error:
            landed = await self.find(project.name)  # our own write, whose answer was lost?
            if landed is None or not landed.same_as(project):
                raise Conflict(
                    f"The project '{project.name}' already exists.", target="projectName"
                ) from error
            return landed
        return replace(project, etag=etags[0])

    async def save(self, project: Project, before: Project) -> Project:
        """Replace the row as it was read. Raises RowChanged (read again) when someone else was first."""
        etags = await self._table.commit(INDEX, self.replacement(project, before))
        return replace(project, etag=etags[0])

    def creation(self, project: Project) -> list[Operation]:
        """What creates the project, for a transaction of the index; RowExists when the name is taken."""
        return [Insert(project_key(project.name), _encode(project)), _of_container(project)]

    def replacement(self, project: Project, before: Project) -> list[Operation]:
        """What replaces the row as it was read, for a transaction of the index."""
        operations: list[Operation] = [Replace(project_key(project.name), _encode(project), project.etag)]
        if project.container != before.container:
            operations += [Delete(container_key(before.container, project.name)), _of_container(project)]
        return operations

    async def remove(self, project: Project, at: datetime) -> None:
        """Take the project out of the index. Its partitions are purged after. Repeating it changes nothing."""
        try:
            await self._table.commit(
                INDEX,
                [
                    Delete(project_key(project.name), project.etag),
                    Delete(container_key(project.container, project.name)),
                    Insert(purge_key(project.incarnation), {"v": 1, "at": at}),
                ],
            )
        except (RowMissing, RowChanged, RowExists):
            current = await self.find(project.name)
            if current is not None and current.same_as(project):
                raise

    async def raise_fence(self, project: Project) -> None:
        """Put the fence number on every page, present or not: what a writer read before can no longer be written."""
        column = {FENCE_COLUMNS[project.locks % len(FENCE_COLUMNS)]: project.locks}
        merges = [UpsertMerge(page_key(project.edition, n), column) for n in range(project.pages)]
        groups = batched(merges, MAX_OPERATIONS, strict=False)
        await asyncio.gather(*(self._table.commit(project.incarnation, group) for group in groups))

    async def purge_later(self, incarnation: str, at: datetime) -> None:
        """Have an incarnation purged that no project has."""
        await self._table.commit(INDEX, [UpsertReplace(purge_key(incarnation), {"v": 1, "at": at})])

    def edition_purge(self, incarnation: str, edition: str, at: datetime) -> Operation:
        """Has the sweep purge an edition that was replaced, for a transaction of the index."""
        return UpsertReplace(purge_key(incarnation, edition), {"v": 1, "at": at})

    async def purges(self) -> list[Purge]:
        low, high = key_range(purge_key(""))
        found: list[Purge] = []
        for row in await self._table.query(INDEX, low, high):
            incarnation, _, edition = row.key.removeprefix(low).partition("|")
            if isinstance(at := row.values.get("at"), datetime):
                found.append(Purge(incarnation, edition, at))
        return found

    async def purged(self, purge: Purge) -> None:
        try:
            await self._table.commit(INDEX, [Delete(purge_key(purge.incarnation, purge.edition))])
        except RowMissing:
            return

    async def last_reconciled(self) -> datetime | None:
        """When all containers were last compared with the registered documents."""
        row = await self._table.get(INDEX, _RECONCILED)
        at = row.values.get("at") if row else None
        return at if isinstance(at, datetime) else None

    async def set_reconciled(self, at: datetime) -> None:
        await self._table.commit(INDEX, [UpsertReplace(_RECONCILED, {"v": 1, "at": at})])


class GuidelineStore:
    """The versions of a project's guidelines: rows that are only added."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def newest(self, incarnation: str) -> Guidelines:
        rows = await self._table.query(incarnation, *key_range(guidelines_key()), limit=1)
        return _guidelines(rows[0]) if rows else Guidelines()

    async def find(self, incarnation: str, version: int) -> Guidelines | None:
        row = await self._table.get(incarnation, guidelines_key(version))
        return _guidelines(row) if row else None

    async def versions(self, incarnation: str) -> list[Guidelines]:
        """Every version without its text, newest first."""
        low, high = key_range(guidelines_key())
        rows = await self._table.query(incarnation, low, high, select=["n", "by", "at", "length"])
        return [_guidelines(row) for row in rows]

    async def add(self, incarnation: str, guidelines: Guidelines) -> bool:
        """False when the version is there already, unless it is this very one."""
        values: dict[str, Value] = {
            "v": 1,
            "n": guidelines.version,
            "by": guidelines.by or "",
            "length": guidelines.length,
            **packed_values(guidelines.text),
        }
        if guidelines.at is not None:
            values["at"] = guidelines.at
        try:
            await self._table.commit(incarnation, [Insert(guidelines_key(guidelines.version), values)])
        except RowExists:  # perhaps our own write, whose answer was lost
            there = await self.find(incarnation, guidelines.version)
            return there is not None and (there.by, there.text) == (guidelines.by, guidelines.text)
        return True


def _guidelines(row: Row) -> Guidelines:
    at = row.values.get("at")
    return Guidelines(
        int_of(row.values, "n"),
        unpacked_values(row.values) if "p00" in row.values else "",
        str_of(row.values, "by"),
        at if isinstance(at, datetime) else None,
        int_of(row.values, "length"),
    )


_RECONCILED = "maintenance|reconciled"

#: How long a process relies on a mark that it wrote.
MARKED_FOR = timedelta(seconds=30)
#: An older mark may be deleted: a process that relies on it has written its work by then.
MARK_KEPT_FOR = timedelta(seconds=120)
MAX_MARKED = 10_000


@dataclass(frozen=True, slots=True)
class Mark:
    """`again`: when the project is to be planned again, because a plan was given up, the `tries`-th in a row, at the
    time `given`.
    """

    at: datetime
    etag: str
    again: datetime | None = None
    tries: int = 0
    given: datetime | None = None

    def given_up(self, now: datetime) -> int:
        """How many plans in a row were given up: none once the next one should have been given up, too."""
        return self.tries if self.again is not None and now <= self.again + MAX_PLAN_PAUSE else 0

    def pauses(self, now: datetime) -> bool:
        """Whether what waits is not to be planned yet. A later upload or request, which renews the mark, ends that."""
        return (
            self.again is not None and now < self.again and self.given is not None and self.at <= self.given
        )


class ActiveProjects:
    """Marks in the index of the projects that may have work, so that a sweep need not ask each project.

    A mark is written before the work. It is deleted, at the version that was read, by the sweep that finds no work
    under a mark that is old. Should a writer pause for longer than that, the next sweep of all projects finds its work.
    """

    def __init__(self, table: Table, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._clock = clock
        self._marked: dict[str, datetime] = {}

    async def mark(self, incarnation: str) -> None:
        """To be called before a job is created or an upload is recorded."""
        now = self._clock()
        if now - MARKED_FOR < self._marked.get(incarnation, datetime.min.replace(tzinfo=UTC)) <= now:
            return
        await self._write(incarnation, {"v": 1, "at": now})
        if len(self._marked) >= MAX_MARKED:
            self._marked.clear()
        self._marked[incarnation] = now

    async def plan_again(self, incarnation: str, tries: int) -> timedelta:
        """Note that a plan was given up, the `tries`-th in a row; returns the pause before the sweep plans again.

        A plan that the sweep did not send knows of none before it, so the number of the mark counts if it is larger.
        """
        now = self._clock()
        self._marked.pop(incarnation, None)  # so that the next upload or request renews the mark
        row = await self._table.get(INDEX, active_key(incarnation))
        mark = None if row is None else _mark(row)
        tries = max(tries, mark.given_up(now) if mark else 0)
        pause = plan_pause(tries - 1)
        await self._write(
            incarnation, {"v": 1, "at": now, "given": now, "again": now + pause, "tries": tries}
        )
        return pause

    async def _write(self, incarnation: str, values: dict[str, Value]) -> None:
        """Merged, so that renewing a mark keeps the plan that it asks for."""
        await self._table.commit(INDEX, [UpsertMerge(active_key(incarnation), values)])

    async def all(self) -> dict[str, Mark]:
        """The marks by incarnation."""
        rows = await self._table.query(INDEX, *key_range(active_key("")))
        found = ((row.key.split("|", 1)[1], _mark(row)) for row in rows)
        return {incarnation: mark for incarnation, mark in found if mark is not None}

    async def unmark(self, incarnation: str, mark: Mark) -> None:
        """Delete a mark, unless it was renewed."""
        try:
            await self._table.commit(INDEX, [Delete(active_key(incarnation), mark.etag)])
        except (RowChanged, RowMissing):
            return


def _mark(row: Row) -> Mark | None:
    at, again, given = (row.values.get(name) for name in ("at", "again", "given"))
    if not isinstance(at, datetime):
        return None
    return Mark(
        at,
        row.etag,
        again if isinstance(again, datetime) else None,
        int_of(row.values, "tries"),
        given if isinstance(given, datetime) else None,
    )


def holder_of(asked: RequestedEdit) -> str:
    """The holder of the lock for an edit of categories; it contains the edit, so that any worker can continue."""
    edit = asked.edit
    data = {"renamed": dict(edit.renamed), "removed": sorted(edit.removed), "by": asked.by, "id": asked.id}
    return CATEGORY_EDIT + json.dumps(data, sort_keys=True)


def edit_of(holder: str) -> RequestedEdit:
    """The edit that the holder of a lock has."""
    data = json.loads(holder.removeprefix(CATEGORY_EDIT))
    edit = CategoryEdit(data["renamed"], frozenset(data["removed"]))
    return RequestedEdit(edit, data["by"], data["id"])


def _of_container(project: Project) -> Insert:
    key = container_key(project.container, project.name)
    return Insert(key, {"v": 1, "incarnation": project.incarnation})


def _encode(project: Project) -> dict[str, Value]:
    settings, autolabel, lock = project.settings, project.settings.autolabel, project.lock
    deployed = project.deployed
    data: dict[str, Any] = {
        "kind": project.kind,
        "container": project.container,
        "language": project.language,
        "multilingual": project.multilingual,
        "description": project.description,
        "created": project.created.isoformat(),
        "modified": project.modified.isoformat(),
        "training": project.training,
        "modelVisible": project.trained,
        "trained": project.last_trained.isoformat() if project.last_trained else None,
        "edition": project.edition,
        "pages": project.pages,
        "threshold": settings.confidence_threshold,
        "autolabel": [autolabel.on_upload, autolabel.engine, autolabel.model_label, autolabel.categories],
        "gpt": [settings.run_gpt_predictions, settings.gpt_predictive_lookahead],
        "categories": [[c.name, c.description] for c in project.categories],
        "edits": project.edits,
        "former": [[former.name, former.now, former.edit] for former in project.former],
        "studio": project.active_studio,
        "aml": project.aml_project_path,
        "displayName": project.display_name,
        "deployed": list(astuple(deployed)) if deployed else None,
        "lock": [lock.number, lock.holder, lock.reason, lock.retry_after] if lock else None,
    }
    return {
        "v": 1,
        "incarnation": project.incarnation,
        "generation": project.generation,
        "locks": project.locks,
        "opened": project.released,
        "deleting": project.deleting,
        **packed_values(data),
    }


def _decode(row: Row) -> Project:
    data = unpacked_values(row.values)
    on_upload, engine, model, categories = data["autolabel"]
    return Project(
        name=row.key.split("|", 1)[1],
        kind=ProjectKind(data["kind"]),
        container=data["container"],
        language=data["language"],
        multilingual=data["multilingual"],
        description=data["description"],
        display_name=data.get("displayName", ""),
        created=datetime.fromisoformat(data["created"]),
        modified=datetime.fromisoformat(data["modified"]),
        last_trained=datetime.fromisoformat(data["trained"]) if data["trained"] else None,
        incarnation=str_of(row.values, "incarnation"),
        edition=data["edition"],
        pages=data["pages"],
        settings=ProjectSettings(
            data["threshold"],
            AutolabelSettings(
                on_upload, engine, model, tuple(categories) if categories is not None else None
            ),
            *data["gpt"],
        ),
        categories=tuple(Category(name, description) for name, description in data["categories"]),
        edits=data.get("edits", len(data.get("former", ()))),
        former=tuple(
            FormerName(name, now, *(edit or [number]))  # earlier versions did not number them
            for number, (name, now, *edit) in enumerate(data.get("former", ()), 1)
        ),
        generation=int_of(row.values, "generation"),
        active_studio=Studio(data["studio"]),
        aml_project_path=data["aml"],
        locks=int_of(row.values, "locks"),
        released=int_of(row.values, "opened"),
        lock=Lock(*data["lock"]) if data["lock"] else None,
        training=data.get("training"),
        trained=data.get("modelVisible", False),
        deployed=DeployedModel(*data["deployed"]) if data.get("deployed") else None,
        deleting=bool(row.values.get("deleting")),
        etag=row.etag,
    )
