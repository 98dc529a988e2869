"""Shared by use cases: projects as last read, the write fence, the stores of one deployment, open jobs, and budgets."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import random
from time import monotonic
from typing import Any, Final, NamedTuple

from shared import telemetry
from shared.domain.autolabel import selected
from shared.domain.batches import UnderWay
from shared.domain.errors import LabelbridgeError, ProjectNotFound, QuotaExceeded, Unavailable
from shared.domain.jobs import (
    AutolabelParameters,
    AutolabelResult,
    BatchResult,
    DocumentOutcome,
    Job,
    JobError,
    JobSource,
    Outcome,
)
from shared.domain.names import EventType, Names
from shared.domain.page import page_of
from shared.domain.project import Lock, Project
from shared.domain.text import NO_TOKENS, Tokens
from shared.storage.gateways.ports import Blobs, Operation, Queues, RowChanged, Table
from shared.storage.idempotency import IdempotencyStore
from shared.storage.jobs import JobStore
from shared.storage.models import Artifacts, FitStore, ModelStore, exchange_name
from shared.storage.outbox import Outbox, Outboxes
from shared.storage.pages import PageStore, locked
from shared.storage.projects import ActiveProjects, GuidelineStore, ProjectStore
from shared.storage.team import AssignmentStore, ProgressStore, SecondReviewStore
from shared.storage.uploads import PendingUploads, UploadedBlobs
from shared.storage.usage import CallRates, Usage, UsageStore, month_of

CONTAINER_SECONDS = 1.0
ATTEMPTS = 20
PAUSE_SECONDS = 0.02


class Handle:
    """One project: `current` as last read, `refresh` reads it again. Raises ProjectNotFound if it was deleted."""

    def __init__(self, directory: "Directory", project: Project) -> None:
        self._directory = directory
        self._project = project

    @property
    def current(self) -> Project:
        return self._project

    async def refresh(self) -> Project:
        self._project = await self._directory.read(self._project.name)
        return self._project


class Directory:
    def __init__(self, store: ProjectStore) -> None:
        self._store = store
        self._known: dict[str, Project] = {}
        self._containers: dict[str, tuple[float, asyncio.Future[list[tuple[str, str]]]]] = {}

    async def read(self, name: str) -> Project:
        try:
            project = await self._store.get(name)
        except ProjectNotFound:
            self._known.pop(name, None)
            raise
        self._known[name] = project
        return project

    async def project_of(self, job: Job) -> Project | None:
        """The project that the job was started for; None when it is gone, also if another one has its name."""
        try:
            project = await self.read(job.project)
        except ProjectNotFound:
            return None
        return project if job.applies_to(project) else None

    async def reread(self, name: str) -> Project:
        """After a change of the row that another store wrote: its container may be another, too."""
        self._containers.clear()
        return await self.read(name)

    async def fresh(self, name: str) -> Handle:
        return Handle(self, await self.read(name))

    async def open(self, name: str) -> Handle:
        """For writers of pages: free if the project is known."""
        known = self._known.get(name)
        return Handle(self, known if known is not None else await self.read(name))

    async def of_container(self, container: str) -> list[tuple[str, str]]:
        """Name and incarnation of a container's projects; the last second may be missing (reconcile heals).

        However many events ask at once, one question is under way.
        """
        at, asked = self._containers.get(container, (0.0, None))
        if asked is None or monotonic() - at > CONTAINER_SECONDS:
            asked = asyncio.ensure_future(self._store.of_container(container))
            self._containers[container] = (monotonic(), asked)
        try:
            return await asyncio.shield(asked)
        except BaseException:
            if self._containers.get(container, (0.0, None))[1] is asked:
                self._containers.pop(container)
            raise

    async def create(self, project: Project) -> Project:
        created = await self._store.create(project)
        self._known[created.name] = created
        self._containers.pop(created.container, None)
        return created

    async def update(self, name: str, change: Callable[[Project], Project]) -> Project:
        """Change the project row; `change` sees the current project and may refuse by raising."""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(attempt * PAUSE_SECONDS * random())  # so that racers do not meet again
            before = await self.read(name)
            after = change(before)
            if after == before:
                return before
            try:
                saved = await self._store.save(after, before)
            except RowChanged:
                landed = await self._store.find(name)
                if landed is None or landed != after:
                    continue
                saved = landed  # our own write, whose answer was lost
            self._known[name] = saved
            if before.container != after.container:
                self._containers.clear()
            return saved
        raise Unavailable("Too many callers are changing the project; try again.", retry_after=1)

    def forget(self, project: Project) -> None:
        self._known.pop(project.name, None)
        self._containers.pop(project.container, None)


class WriteFence:
    def __init__(self, directory: Directory, projects: ProjectStore) -> None:
        self._directory = directory
        self._projects = projects

    async def lock(self, name: str, holder: str, reason: str, retry_after: int | None = None) -> Project:
        """Lock the labels of a project for `holder`.

        When it returns, all saves that were acknowledged can be read, and no other will be. Raises LabelingLocked when
        someone else holds the lock.
        """

        def take(project: Project) -> Project:
            if project.lock is not None and project.lock.holder == holder:
                return project  # a repeat: the row was written, the pages perhaps not all
            if project.lock is not None:
                raise locked(project)
            number = project.locks + 1
            return replace(project, locks=number, lock=Lock(number, holder, reason, retry_after))

        project = await self._directory.update(name, take)
        await self._projects.raise_fence(project)
        return project

    async def resume(self, name: str, holder: str) -> Project | None:
        """Complete a lock whose holder may have crashed before every page had its number; None: it is not held."""
        project = await self._directory.read(name)
        if project.lock is None or project.lock.holder != holder:
            return None
        await self._projects.raise_fence(project)
        return project

    async def unlock(
        self, name: str, holder: str, change: Callable[[Project], Project] = lambda project: project
    ) -> Project:
        """End the lock; nothing happens if `holder` does not hold it (any more)."""

        def give(project: Project) -> Project:
            if project.lock is None or project.lock.holder != holder:
                return project
            return replace(change(project), released=project.locks, lock=None)

        return await self._directory.update(name, give)

    async def bump(self, name: str, holder: str, change: Callable[[Project], Project]) -> Project:
        """Change the project row so that afterwards no write commits that rests on an older one.

        `change` must do nothing the second time; when it raises, nothing is locked. It is made as the lock ends: pages
        get the fence number under the old row, also those of an edition that the change replaces. While someone else
        holds the lock, theirs keeps saves out once every page has its number.
        """
        project = await self._directory.read(name)
        change(project)
        if project.lock is not None and project.lock.holder != holder:
            changed = await self._directory.update(name, change)
            await self._projects.raise_fence(project)
            return changed
        await self.lock(name, holder, "The project is being changed; try again in a moment.", 1)
        try:
            return await self.unlock(name, holder, change)
        except LabelbridgeError:
            await self.unlock(name, holder)
            raise


@dataclass(frozen=True, slots=True)
class Stores:
    names: Names
    table: Table
    blobs: Blobs
    queues: Queues
    clock: Callable[[], datetime]
    projects: ProjectStore
    guidelines: GuidelineStore
    directory: Directory
    pages: PageStore
    fence: WriteFence
    active: ActiveProjects
    jobs: JobStore
    models: ModelStore
    fits: FitStore
    usage: UsageStore
    rates: CallRates
    pending: PendingUploads
    uploads: UploadedBlobs
    artifacts: Artifacts
    idempotency: IdempotencyStore
    progress: ProgressStore
    assignments: AssignmentStore
    second_reviews: SecondReviewStore
    outbox: Outbox
    outboxes: Outboxes


def build(
    names: Names,
    table: Table,
    blobs: Blobs,
    queues: Queues,
    clock: Callable[[], datetime] | None = None,
    wanted: Collection[EventType] = (),
) -> Stores:
    """`wanted`: the types of events that receivers want."""
    now = clock or (lambda: datetime.now(UTC))
    projects = ProjectStore(table)
    directory = Directory(projects)
    artifacts = Artifacts(blobs, names.container)
    active = ActiveProjects(table, now)
    outboxes = Outboxes(queues, now, frozenset(wanted), active.mark, table)
    outbox = outboxes.of_projects()
    jobs = JobStore(table, active, outbox)
    pages = PageStore(table, artifacts, now, outbox)
    return Stores(
        names=names,
        table=table,
        blobs=blobs,
        queues=queues,
        clock=now,
        projects=projects,
        guidelines=GuidelineStore(table),
        directory=directory,
        pages=pages,
        fence=WriteFence(directory, projects),
        active=active,
        jobs=jobs,
        models=ModelStore(table, jobs),
        fits=FitStore(table),
        usage=UsageStore(table),
        rates=CallRates(table),
        pending=PendingUploads(table, now, active),
        uploads=UploadedBlobs(blobs),
        artifacts=artifacts,
        idempotency=IdempotencyStore(table, now),
        progress=ProgressStore(table),
        assignments=AssignmentStore(table),
        second_reviews=SecondReviewStore(table),
        outbox=outbox,
        outboxes=outboxes,
    )


async def under_way(stores: Stores, project: Project) -> UnderWay:
    """The work of open jobs, so that no plan takes up the same documents again.

    Call this before reading what to plan: work that ends meanwhile counts as under way.
    """
    found = UnderWay()
    for job in await stores.jobs.open_jobs(project.incarnation):
        if job.source is None or (
            isinstance(job.parameters, AutolabelParameters) and job.parameters.documents
        ):
            continue  # a job on documents that a caller named does not take up the others of its pages
        done = {state.number for state in await stores.jobs.states(job) if state.done}
        left = [batch for number, batch in enumerate(job.batches) if number not in done]
        (found.uploads if job.source is JobSource.UPLOAD else found.documents).extend(left)
    return found


async def skipped(stores: Stores, job: Job, number: int, reason: JobError) -> BatchResult:
    """The result of a batch that will not run, or not to its end: its documents are skipped, for this reason.

    Uploads are not among them: they wait for the next plan. What the service charged so far is counted.
    """
    parameters, batch = job.parameters, job.batches[number]
    if not isinstance(parameters, AutolabelParameters):
        return BatchResult()
    tokens, records = await paid(stores, job, number)
    project = await stores.directory.project_of(job)
    if project is None or parameters.source is JobSource.UPLOAD:
        return BatchResult((), records or 0, tokens=tokens)
    then = replace(project, edition=job.edition, generation=job.generation)
    pages = await stores.pages.load_range(then.scope, batch.low, batch.high)
    locations = {
        d.id: d.location
        for page in pages.values()
        for d in page.documents.values()
        if selected(d, then, parameters)
    }
    named = parameters.documents or ()
    mine = (key for key in named if batch.low <= page_of(key, then.pages) < batch.high)
    locations = dict.fromkeys(mine, "") | locations
    return BatchResult(
        tuple(
            DocumentOutcome(key, where, Outcome.SKIPPED, reason) for key, where in sorted(locations.items())
        ),
        records or 0,
        tokens=tokens,
    )


def is_paid(job: Job) -> bool:
    """Whether its engine is a service: its batches keep answers."""
    asked = job.parameters
    return isinstance(asked, AutolabelParameters) and (asked.service_model, asked.prices) != (None, None)


class Paid(NamedTuple):
    """What a service charged for a batch. `records`: text records; None: those of the documents with predictions."""

    tokens: Tokens = NO_TOKENS
    records: int | None = None


NOT_PAID: Final = Paid()


async def paid(stores: Stores, job: Job, number: int) -> Paid:
    """What a service charged for a batch so far, from the stored exchange."""
    data = (
        await stores.artifacts.read(exchange_name(job.incarnation, job.id, number)) if is_paid(job) else None
    )
    if data is None:
        return NOT_PAID
    since, _, state = data.partition(b"\n")
    if not since.startswith(b"{"):
        return Paid(records=_records_in(state))
    kept = json.loads(data)
    return Paid(_tokens_in(kept), kept.get("records", 0))


def _records_in(state: bytes) -> int:
    """Of an exchange; an engine of EXTRA_ENGINES may store any format."""
    try:
        kept: Any = json.loads(state)
        return max(0, int(kept["records"]))
    except (ValueError, TypeError, LookupError):
        return 0


def _tokens_in(kept: dict[str, Any]) -> Tokens:
    if "paid" in kept:
        return Tokens(*kept["paid"])
    # Of an earlier version: what each answer took is its fourth part.
    each = [*(answer[3] for answer in kept["answers"].values()), kept["former"]]
    return sum((Tokens(*tokens) for tokens in each), NO_TOKENS)


class BudgetService:
    """`limits`: text records per month and project, by engine; an engine without an entry has no limit."""

    def __init__(self, stores: Stores, limits: Mapping[str, int]) -> None:
        self._stores = stores
        self._limits = limits

    def applies(self, engine: str) -> bool:
        return engine in self._limits

    async def reserve(
        self, incarnation: str, parameters: AutolabelParameters, records: int
    ) -> tuple[AutolabelParameters, list[Operation]]:
        """The parameters of the job with its reservation, and what to commit with it. Raises QuotaExceeded."""
        engine = parameters.engine or ""
        if engine not in self._limits:
            return parameters, []
        usage = await self._usage(incarnation, engine)
        if (error := self._exceeded(usage, records)) is not None:
            telemetry.count("labelbridge.budget.exceeded", engine=engine)
            raise error
        return replace(parameters, reserved=records, month=usage.month), [usage.reserve(records).operation()]

    async def exceeded(self, incarnation: str, engine: str, records: int) -> str | None:
        """Why a job that needs so many text records would be refused now."""
        if engine not in self._limits:
            return None
        error = self._exceeded(await self._usage(incarnation, engine), records)
        return error and error.message

    async def _usage(self, incarnation: str, engine: str) -> Usage:
        return await self._stores.usage.read(incarnation, engine, month_of(self._stores.clock()))

    def _exceeded(self, usage: Usage, records: int) -> QuotaExceeded | None:
        limit = self._limits[usage.engine]
        left = limit - usage.used - usage.reserved
        if records <= left:
            return None
        return QuotaExceeded(
            f"The job needs {records:,} text records, but the engine '{usage.engine}' has {max(left, 0):,} left of its "
            f"budget of {limit:,} for {usage.month} (setting ENGINE_BUDGETS).",
            target="engine",
        )

    async def settle(self, job: Job) -> list[Operation]:
        """What to commit with the end of a job that had reserved; its result says how many text records it took."""
        parameters, result = job.parameters, job.result_as(AutolabelResult)
        if not isinstance(parameters, AutolabelParameters):
            return []
        tokens = result.tokens if result else None
        if parameters.reserved is None and not tokens:
            return []
        month = parameters.month or month_of(self._stores.clock())
        usage = await self._stores.usage.read(job.incarnation, parameters.engine or "", month)
        if parameters.reserved is not None:
            usage = usage.settle(parameters.reserved, result.text_records if result else 0)
        if result and tokens:
            usage = usage.paid(tokens, result.cost)
        return [usage.operation()]
