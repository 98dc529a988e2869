"""What each step of a connection does. Every step may run twice, also in a worker that is late."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shared.connection.binding import StudioKind
from shared.connection.conditions import Condition, project_conditions, unmet
from shared.connection.label_exchange import EnsureCurrent, LabelExchange
from shared.connection.state import Connection, Progress, Saga, Step
from shared.connection.studios.base import Exported, LabelingStudio, StudioFailed, StudioTarget, Waiting
from shared.domain.errors import LabelingLocked, ProjectNotFound
from shared.domain.jobs import Job, JobError
from shared.domain.names import Studio
from shared.domain.project import Project
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import RowChanged

type Studios = Mapping[StudioKind, LabelingStudio]

_ACTIVE_AFTER = {
    Saga.TO_AML: Studio.AZURE_ML,
    Saga.UNDO_TO_AML: Studio.LANGUAGE_STUDIO,
    Saga.TO_LANGUAGE_STUDIO: Studio.LANGUAGE_STUDIO,
    Saga.UNDO_TO_LANGUAGE_STUDIO: Studio.AZURE_ML,
}
_IN_STUDIO = frozenset({Step.CREATE, Step.CLOSE, Step.OPEN, Step.WITHDRAW, Step.RELEASE})
_IN_PROJECT = frozenset({Step.LOCK, Step.ACTIVATE, Step.UNMARK, Step.UNLOCK})
_NOTHING_WITHOUT_PROJECT = frozenset(
    {Step.UNMARK, Step.UNLOCK, Step.REPORT, Step.WITHDRAW, Step.TOMBSTONE, Step.RELEASE}
)
RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that has ended or must wait. `progress` None: unchanged. `warnings` are for the job."""

    progress: Progress | None = None
    warnings: tuple[JobError, ...] = ()
    waiting: Waiting | None = None


class ConditionsNotMet(Exception):
    """The project cannot be connected."""

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        super().__init__(" ".join(condition.message for condition in conditions))
        self.conditions = conditions


def lock_holder(connection: Connection) -> str:
    """Who holds the project's lock: a late unlock of an older saga names another holder and has no effect."""
    return f"{_lock_holders(connection)}{connection.locked_sequence}"


def _lock_holders(connection: Connection) -> str:
    return f"connection:{connection.incarnation}:"


class ConnectionSteps:
    def __init__(self, stores: Stores, studios: Studios, exchange: LabelExchange) -> None:
        self._stores = stores
        self._studios = studios
        self._exchange = exchange

    async def run(self, connection: Connection, job: Job, ensure_current: EnsureCurrent) -> Outcome:
        """Run the due step. Raises StudioFailed, ConditionsNotMet, or a domain error when that fails."""
        try:
            project = await self._project(connection)
        except ProjectNotFound:
            return self._without_project(connection)
        if connection.step in _IN_STUDIO:
            return await self._in_studio(connection, project, ensure_current)
        if connection.step in _IN_PROJECT:
            return await self._in_project(connection, ensure_current)
        match connection.step:
            case Step.CHECK:
                return await self._check_conditions(connection, project)
            case Step.HAND_OVER:
                return await self._hand_over(connection, project)
            case Step.EXPORT:
                return await self._export(connection, project)
            case Step.IMPORT:
                return await self._import(connection, project, job, ensure_current)
            case Step.ADOPT:
                await self._exchange.adopt(project, job, ensure_current)
            case _:  # TOMBSTONE is the transition itself, REPORT is done by the runner
                pass
        return Outcome()

    async def _in_project(self, connection: Connection, ensure_current: EnsureCurrent) -> Outcome:
        match connection.step:
            case Step.LOCK:
                return await self._lock(connection, ensure_current)
            case Step.ACTIVATE:
                await self._change(connection, ensure_current, lambda project: _activate(project, connection))
            case Step.UNMARK:
                await self._change(connection, ensure_current, _unmark)
            case _:
                await self._stores.fence.unlock(connection.project, lock_holder(connection))
        return Outcome()

    # Project and studio

    async def _project(self, connection: Connection) -> Project:
        project = await self._stores.directory.read(connection.project)
        if not connection.applies_to(project):
            raise ProjectNotFound(connection.project)
        return project

    def _without_project(self, connection: Connection) -> Outcome:
        """The project was deleted: its connection can only be undone."""
        if connection.step in _NOTHING_WITHOUT_PROJECT:
            return Outcome()
        raise StudioFailed("ProjectNotFound", f"The project '{connection.project}' was deleted.")

    def studio(self, connection: Connection) -> LabelingStudio:
        kind = connection.binding.studio if connection.binding else StudioKind.WORKSPACE
        if kind not in self._studios:
            raise StudioFailed("NotConfigured", not_configured(kind))
        return self._studios[kind]

    def target(self, connection: Connection, project: Project) -> StudioTarget:
        if connection.binding is None:
            raise StudioFailed("NotFound", "The project is not connected.")
        return StudioTarget(
            binding=connection.binding,
            owner=connection.incarnation,
            project=project.name,
            kind=project.kind,
            container=project.container,
            categories=project.category_names,
            sequence=connection.sequence,
            closed_sequence=connection.closed_sequence,
            previous_closed_sequence=connection.previous_closed_sequence,
        )

    # Steps

    async def _lock(self, connection: Connection, ensure_current: EnsureCurrent) -> Outcome:
        """Mark the project first: from then on nothing that rule C12 forbids can happen to it."""
        path = connection.binding.path if connection.binding else None
        await self._change(
            connection, ensure_current, lambda project: replace(project, aml_project_path=path)
        )
        try:
            await self._stores.fence.lock(
                connection.project,
                lock_holder(connection),
                "Labels cannot be changed while the labeling studio is being connected or switched. "
                "Try again in a moment.",
                RETRY_SECONDS,
            )
        except LabelingLocked:
            await self._drop_stale_lock(connection)
            return Outcome(waiting=Waiting(1, "Waiting for another change of the project to end."))
        return Outcome()

    async def _drop_stale_lock(self, connection: Connection) -> None:
        """A lock left by this connection when its row was lost must not stay forever."""
        lock = (await self._stores.directory.read(connection.project)).lock
        if lock is None or lock.holder == lock_holder(connection):
            return
        if lock.holder.startswith(_lock_holders(connection)):
            await self._stores.fence.unlock(connection.project, lock.holder)

    async def conditions(self, connection: Connection, project: Project) -> list[Condition]:
        """All of rules C2 and C13 except the tombstone of the name; changes nothing."""
        target = self.target(connection, project)
        heads = await self._stores.pages.heads(project.scope)
        documents = sum(len(head.entries) for head in heads)
        found = project_conditions(project, target.binding.studio, documents)
        return [*found, *await self.studio(connection).conditions(target)]

    async def _check_conditions(self, connection: Connection, project: Project) -> Outcome:
        failed = unmet(await self.conditions(connection, project))
        if failed:
            raise ConditionsNotMet(failed)
        warnings = self.studio(connection).warnings(self.target(connection, project))
        return Outcome(warnings=tuple(warnings))

    async def _in_studio(
        self, connection: Connection, project: Project, ensure_current: EnsureCurrent
    ) -> Outcome:
        studio, target = self.studio(connection), self.target(connection, project)
        call = {
            Step.CREATE: studio.create,
            Step.CLOSE: studio.close,
            Step.OPEN: studio.open,
            Step.WITHDRAW: studio.withdraw,
            Step.RELEASE: studio.release,
        }[connection.step or Step.CLOSE]
        if connection.saga is Saga.TO_LANGUAGE_STUDIO:
            await self._change(connection, ensure_current, _announce_unlock)
        await ensure_current()
        return Outcome(waiting=await call(target))

    async def _hand_over(self, connection: Connection, project: Project) -> Outcome:
        studio, target = self.studio(connection), self.target(connection, project)
        if not studio.takes_labels:
            text = (
                "Azure Machine Learning does not accept labels for text projects; "
                "the labeling project starts without labels."
            )
            return Outcome(warnings=(JobError("NotSupported", text),))
        left_out: list[str] = []
        await studio.hand_over(target, self._exchange.lines(project, studio.datastore(target), left_out))
        if not left_out:
            return Outcome()
        text = f"Labels that do not fit their text were not handed over: {_examples(left_out)}."
        return Outcome(warnings=(JobError("LabelsLeftOut", text),))

    async def _export(self, connection: Connection, project: Project) -> Outcome:
        """Take a snapshot of the labels in a blob of our own, unless nothing can have changed."""
        studio, target = self.studio(connection), self.target(connection, project)
        if connection.saga is Saga.TO_AML and not studio.takes_labels:
            return Outcome()
        marker = await studio.marker(target)
        if connection.saga is Saga.SYNC and marker and marker == connection.marker:
            return Outcome()
        progress = connection.progress
        if not progress.export:
            export = await studio.begin_export(target)
            progress = replace(progress, export=export.note or "-")
            if export.waiting:
                return Outcome(progress, waiting=export.waiting)
        exported = await studio.export(target, progress.export)
        if not isinstance(exported, Exported):
            return Outcome(progress, waiting=exported)
        name = f"{connection.incarnation}/connection/{connection.sequence}.jsonl"
        digest = await self._exchange.take_snapshot(name, exported.files)
        if connection.saga is Saga.SYNC and (marker or digest) == connection.marker:
            return Outcome()
        return Outcome(replace(progress, snapshot=name, marker=marker or digest))

    async def _import(
        self, connection: Connection, project: Project, job: Job, ensure_current: EnsureCurrent
    ) -> Outcome:
        progress = connection.progress
        if not progress.snapshot:
            return Outcome()
        datastore = self.studio(connection).datastore(self.target(connection, project))
        found = await self._exchange.import_labels(project, job, progress.snapshot, datastore, ensure_current)
        return Outcome(
            replace(progress, imported=found.documents, bad_lines=found.bad_lines, errors=found.errors)
        )

    async def _change(
        self,
        connection: Connection,
        ensure_current: EnsureCurrent,
        change: Callable[[Project], Project],
    ) -> None:
        """Change the project row, if the step is still due after the row was read."""
        for _ in range(20):
            before = await self._project(connection)
            after = change(before)
            if after == before:
                return
            await ensure_current()
            try:
                await self._stores.projects.save(after, before)
            except RowChanged:
                continue
            await self._stores.directory.read(connection.project)
            return
        raise StudioFailed("Conflict", "Too many callers are changing the project.")


def not_configured(studio: StudioKind) -> str:
    return f"The studio '{studio}' is not configured: the setting STORAGE_ACCOUNT_ID is missing."


def _examples(locations: list[str]) -> str:
    more = f" and {len(locations) - 3} more" if len(locations) > 3 else ""
    return ", ".join(f"'{location}'" for location in locations[:3]) + more


def _activate(project: Project, connection: Connection) -> Project:
    active = _ACTIVE_AFTER[connection.saga or Saga.TO_AML]
    lock = project.lock
    if lock is not None and active is Studio.AZURE_ML:
        name = connection.binding.name if connection.binding else ""
        reason = (
            f"Labels are being changed in Azure Machine Learning (labeling project '{name}'). "
            "Switch back to Labelbridge to change them here."
        )
        lock = replace(lock, reason=reason, retry_after=None)
    return replace(project, active_studio=active, lock=lock)


def _announce_unlock(project: Project) -> Project:
    """While switching back the lock ends automatically, and its reason says so."""
    if project.lock is None or project.lock.retry_after is not None:
        return project
    reason = "Labels cannot be changed while labeling is being switched back. Try again in a moment."
    return replace(project, lock=replace(project.lock, reason=reason, retry_after=RETRY_SECONDS))


def _unmark(project: Project) -> Project:
    return replace(project, aml_project_path=None, active_studio=Studio.LANGUAGE_STUDIO)
