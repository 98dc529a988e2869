"""What each step of a connection does. Every one may be done twice, also by a worker that comes late."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from shared.domain.bond import StudioKind
from shared.domain.conditions import Condition, project_conditions, unmet
from shared.domain.connection import Connection
from shared.domain.connection_courses import Course, Step
from shared.domain.errors import LabelingLocked, ProjectNotFound
from shared.domain.jobs import Job, JobError
from shared.domain.kinds import Studio
from shared.domain.project import Project
from shared.services.label_exchange import LabelExchange, Watch
from shared.services.stores import Stores
from shared.storage.gateways.ports import RowChanged
from shared.studios.base import Exported, LabelingStudio, Site, StudioFailed, Waiting

type Studios = Mapping[StudioKind, LabelingStudio]

_TARGET = {
    Course.TO_AML: Studio.AZURE_ML,
    Course.TO_AML_BACK: Studio.LANGUAGE_STUDIO,
    Course.TO_LANGUAGE_STUDIO: Studio.LANGUAGE_STUDIO,
    Course.TO_LANGUAGE_STUDIO_BACK: Studio.AZURE_ML,
}
_AT_STUDIO = frozenset({Step.CREATE, Step.CLOSE, Step.OPEN, Step.WITHDRAW, Step.RELEASE})
_IN_PROJECT = frozenset({Step.LOCK, Step.ACTIVATE, Step.UNMARK, Step.UNLOCK})
#: Steps that have nothing to do when the project is gone.
_NEEDLESS = frozenset({Step.UNMARK, Step.UNLOCK, Step.REPORT, Step.WITHDRAW, Step.TOMBSTONE, Step.RELEASE})
SOON = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that was done, or must wait. `facts` are for later steps, `warnings` for the job."""

    facts: dict[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[JobError, ...] = ()
    waiting: Waiting | None = None


class Unmet(Exception):
    """Conditions of connecting that do not hold."""

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        super().__init__(" ".join(condition.message for condition in conditions))
        self.conditions = conditions


def holder(connection: Connection) -> str:
    """Who holds the project's lock: a late unlock of an older turn names another holder and opens nothing."""
    return f"connection:{connection.incarnation}:{connection.locked}"


class ConnectionSteps:
    def __init__(self, stores: Stores, studios: Studios, exchange: LabelExchange) -> None:
        self._stores = stores
        self._studios = studios
        self._exchange = exchange

    async def run(self, connection: Connection, job: Job, watch: Watch) -> Outcome:
        """Do the due step. Raises StudioFailed, Unmet, or an error of the domain when it cannot be done."""
        try:
            project = await self._project(connection)
        except ProjectNotFound:
            return await self._without_project(connection)
        if connection.step in _AT_STUDIO:
            return await self._at_studio(connection, project, watch)
        if connection.step in _IN_PROJECT:
            return await self._in_project(connection, watch)
        match connection.step:
            case Step.CHECK:
                return await self._check(connection, project)
            case Step.HAND_OVER:
                return await self._hand_over(connection, project)
            case Step.EXPORT:
                return await self._export(connection, project)
            case Step.IMPORT:
                return await self._import(connection, project, job, watch)
            case Step.ADOPT:
                await self._exchange.adopt(project, job, watch)
            case _:  # TOMBSTONE is the transition itself, REPORT the runner's
                pass
        return Outcome()

    async def _in_project(self, connection: Connection, watch: Watch) -> Outcome:
        match connection.step:
            case Step.LOCK:
                return await self._lock(connection, watch)
            case Step.ACTIVATE:
                await self._change(connection, watch, lambda now: _activate(now, connection))
            case Step.UNMARK:
                await self._change(connection, watch, _unmark)
            case _:
                await self._stores.gate.unlock(connection.project, holder(connection))
        return Outcome()

    # Which project, which studio

    async def _project(self, connection: Connection) -> Project:
        project = await self._stores.directory.read(connection.project)
        if project.incarnation != connection.incarnation:
            raise ProjectNotFound(connection.project)
        return project

    async def _without_project(self, connection: Connection) -> Outcome:
        """The project is gone or going: its connection can only be taken back."""
        if connection.step in _NEEDLESS:
            return Outcome()
        raise StudioFailed("ProjectNotFound", f"The project '{connection.project}' was deleted.")

    def studio(self, connection: Connection) -> LabelingStudio:
        kind = connection.bond.studio if connection.bond else StudioKind.WORKSPACE
        if kind not in self._studios:
            text = f"The studio '{kind}' is not configured: the setting STORAGE_ACCOUNT_ID is missing."
            raise StudioFailed("NotConfigured", text)
        return self._studios[kind]

    def site(self, connection: Connection, project: Project) -> Site:
        if connection.bond is None:
            raise StudioFailed("NotFound", "The project is not connected.")
        return Site(
            bond=connection.bond,
            owner=connection.incarnation,
            project=project.name,
            kind=project.kind,
            container=project.container,
            categories=project.category_names,
            turn=connection.turn,
            closed=connection.closed,
            reclosed=connection.reclosed,
        )

    # Steps

    async def _lock(self, connection: Connection, watch: Watch) -> Outcome:
        """Mark the project first: from then on nothing that rule C12 forbids can happen to it."""
        path = connection.bond.path if connection.bond else None
        await self._change(connection, watch, lambda project: replace(project, aml_project_path=path))
        try:
            await self._stores.gate.lock(
                connection.project,
                holder(connection),
                "Labeling is being connected or switched; it is possible again in a moment.",
                SOON,
            )
        except LabelingLocked:
            await self._drop_stale_lock(connection)
            return Outcome(waiting=Waiting(1, "The project is being changed; its lock is waited for."))
        return Outcome()

    async def _drop_stale_lock(self, connection: Connection) -> None:
        """A lock of this connection that no row tells of any more (the table was lost) must not stay for
        ever.
        """
        lock = (await self._stores.directory.read(connection.project)).lock
        mine = f"connection:{connection.incarnation}:"
        if lock is not None and lock.holder.startswith(mine) and lock.holder != holder(connection):
            await self._stores.gate.unlock(connection.project, lock.holder)

    async def conditions(self, connection: Connection, project: Project) -> list[Condition]:
        """All of rule C2 but the name's tombstone; changes nothing."""
        site = self.site(connection, project)
        heads = await self._stores.pages.heads(project.scope)
        documents = sum(len(head.entries) for head in heads)
        found = project_conditions(project, site.bond.studio, documents)
        return [*found, *await self.studio(connection).conditions(site)]

    async def _check(self, connection: Connection, project: Project) -> Outcome:
        failed = unmet(await self.conditions(connection, project))
        if failed:
            raise Unmet(failed)
        return Outcome(warnings=tuple(self.studio(connection).warnings(self.site(connection, project))))

    async def _at_studio(self, connection: Connection, project: Project, watch: Watch) -> Outcome:
        studio, site = self.studio(connection), self.site(connection, project)
        call = {
            Step.CREATE: studio.create,
            Step.CLOSE: studio.close,
            Step.OPEN: studio.open,
            Step.WITHDRAW: studio.withdraw,
            Step.RELEASE: studio.release,
        }[connection.step or Step.CLOSE]
        if connection.course is Course.TO_LANGUAGE_STUDIO:
            await self._change(connection, watch, _soon_unlocked)
        await watch()
        return Outcome(waiting=await call(site))

    async def _hand_over(self, connection: Connection, project: Project) -> Outcome:
        studio, site = self.studio(connection), self.site(connection, project)
        if not studio.takes_labels:
            text = (
                "Azure Machine Learning takes no labels for text projects; people there begin without ours."
            )
            return Outcome(warnings=(JobError("NotSupported", text),))
        await studio.hand_over(site, self._exchange.lines(project, studio.datastore(site)))
        return Outcome()

    async def _export(self, connection: Connection, project: Project) -> Outcome:
        """A copy of the labels in a blob of ours; none where nothing can have changed."""
        studio, site = self.studio(connection), self.site(connection, project)
        if connection.course is Course.TO_AML and not studio.takes_labels:
            return Outcome()
        marker = await studio.marker(site)
        if connection.course is Course.SYNC and marker and marker == connection.marker:
            return Outcome()
        ticket = connection.facts.get("ticket") or await studio.begin_export(site) or "-"
        exported = await studio.export(site, ticket)
        if not isinstance(exported, Exported):
            return Outcome({"ticket": ticket}, waiting=exported)
        name = f"{connection.incarnation}/connection/{connection.turn}.jsonl"
        digest = await self._exchange.pin(name, exported.files)
        if connection.course is Course.SYNC and (marker or digest) == connection.marker:
            return Outcome()
        return Outcome({"pinned": name, "marker": marker or digest})

    async def _import(self, connection: Connection, project: Project, job: Job, watch: Watch) -> Outcome:
        pinned = connection.facts.get("pinned")
        if not pinned:
            return Outcome()
        datastore = self.studio(connection).datastore(self.site(connection, project))
        done = await self._exchange.bring_in(project, job, pinned, datastore, watch)
        told = [[error.code, error.message, error.target] for error in done.told]
        return Outcome({"imported": str(done.documents), "bad": str(done.bad), "errors": json.dumps(told)})

    async def _change(
        self, connection: Connection, watch: Watch, change: Callable[[Project], Project]
    ) -> None:
        """Change the project row between reading it and a look at whether the step is still ours to do."""
        for _ in range(20):
            before = await self._project(connection)
            after = change(before)
            if after == before:
                return
            await watch()
            try:
                await self._stores.projects.save(after, before)
            except RowChanged:
                continue
            await self._stores.directory.read(connection.project)
            return
        raise StudioFailed("Conflict", "Too many callers change the project.")


def _activate(project: Project, connection: Connection) -> Project:
    target = _TARGET[connection.course or Course.TO_AML]
    lock = project.lock
    if lock is not None and target is Studio.AZURE_ML:
        name = connection.bond.name if connection.bond else ""
        reason = (
            f"Labels are changed in Azure Machine Learning ('{name}') now; switch back to change them here."
        )
        lock = replace(lock, reason=reason, retry_after=None)
    return replace(project, active_studio=target, lock=lock)


def _soon_unlocked(project: Project) -> Project:
    """While switching back the lock passes by itself, and says so."""
    if project.lock is None or project.lock.retry_after is not None:
        return project
    reason = "Labeling is being switched back to this studio; it is possible again in a moment."
    return replace(project, lock=replace(project.lock, reason=reason, retry_after=SOON))


def _unmark(project: Project) -> Project:
    return replace(project, aml_project_path=None, active_studio=Studio.LANGUAGE_STUDIO)
