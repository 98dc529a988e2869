"""Projects: the rows of partition `$index`."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.domain.errors import Conflict, ProjectNotFound
from shared.domain.kinds import ProjectKind, Studio
from shared.domain.project import AutolabelSettings, Category, Lock, Project, ProjectSettings
from shared.storage import keys, packing
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
    UpsertReplace,
    Value,
)


class ProjectStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, name: str) -> Project | None:
        row = await self._table.get(keys.INDEX, keys.project(name))
        return _decode(row) if row else None

    async def get(self, name: str) -> Project:
        """Raises ProjectNotFound, also while the project is being deleted."""
        project = await self.find(name)
        if project is None or project.deleting:
            raise ProjectNotFound(name)
        return project

    async def names(self) -> list[str]:
        low, high = keys.prefix(keys.project(""))
        rows = await self._table.query(keys.INDEX, low, high, select=["v"])
        return [row.key.split("|", 1)[1] for row in rows]

    async def all(self, after: str = "", limit: int | None = None) -> list[Project]:
        """Projects by name, those being deleted included."""
        low, high = keys.prefix(keys.project(""))
        start = keys.project(after) + " " if after else low  # a space sorts before all that a name may hold
        rows = await self._table.query(keys.INDEX, start, high, limit=limit)
        return [_decode(row) for row in rows]

    async def of_container(self, container: str) -> list[tuple[str, str]]:
        """Name and incarnation of the projects whose documents lie in the container."""
        low, high = keys.prefix(keys.container(container))
        rows = await self._table.query(keys.INDEX, low, high)
        return [(row.key.split("|", 2)[2], packing.string(row.values, "incarnation")) for row in rows]

    async def create(self, project: Project) -> Project:
        """Raises Conflict when the name is taken."""
        try:
            etags = await self._table.commit(keys.INDEX, self.creation(project))
        except RowExists as error:
            landed = await self.find(project.name)  # our own write, whose answer was lost?
            if landed is None or landed.incarnation != project.incarnation:
                raise Conflict(
                    f"The project '{project.name}' exists already.", target="projectName"
                ) from error
            return landed
        return replace(project, etag=etags[0])

    async def save(self, project: Project, before: Project) -> Project:
        """Replace the row as it was read. Raises RowChanged (read again) when somebody else was first."""
        etags = await self._table.commit(keys.INDEX, self.replacement(project, before))
        return replace(project, etag=etags[0])

    def creation(self, project: Project) -> list[Operation]:
        """What creates the project, for a transaction of the index; RowExists when the name is taken."""
        return [Insert(keys.project(project.name), _encode(project)), _of_container(project)]

    def replacement(self, project: Project, before: Project) -> list[Operation]:
        """What replaces the row as it was read, for a transaction of the index."""
        operations: list[Operation] = [Replace(keys.project(project.name), _encode(project), project.etag)]
        if project.container != before.container:
            operations += [Delete(keys.container(before.container, project.name)), _of_container(project)]
        return operations

    async def remove(self, project: Project, at: datetime) -> None:
        """Take the project out of the index. Its partitions are purged after. Repeating it changes nothing."""
        try:
            await self._table.commit(
                keys.INDEX,
                [
                    Delete(keys.project(project.name), project.etag),
                    Delete(keys.container(project.container, project.name)),
                    Insert(keys.purge(project.incarnation), {"v": 1, "at": at}),
                ],
            )
        except (RowMissing, RowChanged, RowExists):
            current = await self.find(project.name)
            if current is not None and current.incarnation == project.incarnation:
                raise

    async def purge_later(self, incarnation: str, at: datetime) -> None:
        """Have an incarnation purged that no project has."""
        await self._table.commit(keys.INDEX, [UpsertReplace(keys.purge(incarnation), {"v": 1, "at": at})])

    async def purges(self) -> list[tuple[str, datetime]]:
        """Incarnations that wait to be purged, and since when."""
        low, high = keys.prefix(keys.purge(""))
        rows = await self._table.query(keys.INDEX, low, high)
        found = ((row.key.split("|", 1)[1], row.values.get("at")) for row in rows)
        return [(incarnation, at) for incarnation, at in found if isinstance(at, datetime)]

    async def purged(self, incarnation: str) -> None:
        try:
            await self._table.commit(keys.INDEX, [Delete(keys.purge(incarnation))])
        except RowMissing:
            return


def _of_container(project: Project) -> Insert:
    key = keys.container(project.container, project.name)
    return Insert(key, {"v": 1, "incarnation": project.incarnation})


def _encode(project: Project) -> dict[str, Value]:
    settings, autolabel, lock = project.settings, project.settings.autolabel, project.lock
    data: dict[str, Any] = {
        "kind": project.kind,
        "container": project.container,
        "language": project.language,
        "multilingual": project.multilingual,
        "description": project.description,
        "created": project.created.isoformat(),
        "modified": project.modified.isoformat(),
        "training": project.training,
        "trained": project.last_trained.isoformat() if project.last_trained else None,
        "edition": project.edition,
        "pages": project.pages,
        "threshold": settings.confidence_threshold,
        "autolabel": [autolabel.on_upload, autolabel.engine, autolabel.model_label, autolabel.categories],
        "gpt": [settings.run_gpt_predictions, settings.gpt_predictive_lookahead],
        "categories": [[c.name, c.description] for c in project.categories],
        "former": [list(pair) for pair in project.former],
        "studio": project.active_studio,
        "aml": project.aml_project_path,
        "lock": [lock.number, lock.holder, lock.reason, lock.retry_after] if lock else None,
    }
    return {
        "v": 1,
        "incarnation": project.incarnation,
        "generation": project.generation,
        "locks": project.locks,
        "opened": project.opened,
        "deleting": project.deleting,
        **packing.packed_values(data),
    }


def _decode(row: Row) -> Project:
    data = packing.unpacked_values(row.values)
    on_upload, engine, model, categories = data["autolabel"]
    return Project(
        name=row.key.split("|", 1)[1],
        kind=ProjectKind(data["kind"]),
        container=data["container"],
        language=data["language"],
        multilingual=data["multilingual"],
        description=data["description"],
        created=datetime.fromisoformat(data["created"]),
        modified=datetime.fromisoformat(data["modified"]),
        last_trained=datetime.fromisoformat(data["trained"]) if data["trained"] else None,
        incarnation=packing.string(row.values, "incarnation"),
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
        former=tuple((old, now) for old, now in data.get("former", ())),
        generation=packing.integer(row.values, "generation"),
        active_studio=Studio(data["studio"]),
        aml_project_path=data["aml"],
        locks=packing.integer(row.values, "locks"),
        opened=packing.integer(row.values, "opened"),
        lock=Lock(*data["lock"]) if data["lock"] else None,
        training=data.get("training"),
        deleting=bool(row.values.get("deleting")),
        etag=row.etag,
    )
