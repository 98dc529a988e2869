"""One deployment for tests of the connection: stores over any storage, both studios, people, and a clock."""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

from shared.connection.binding import Binding, StudioKind
from shared.connection.service import ConnectionService
from shared.connection.store import ConnectionStore
from shared.connection.studios.base import LabelBlobs, LabelingStudio
from shared.connection.studios.workspace import WorkspaceStudio
from shared.domain.document import ANY_VERSION, Document, Reading, apply, new_document
from shared.domain.errors import ProjectNotFound
from shared.domain.jobs import Job
from shared.domain.labels import Labels
from shared.domain.names import ProjectKind, Studio, random_id
from shared.domain.page import Edit, page_of
from shared.domain.project import Category, Project
from shared.services.jobs.lifecycle import JobService, KindsOfJobs
from shared.services.jobs.stores import BudgetService, Names, Stores, build
from shared.services.review.documents import DocumentService
from shared.storage.gateways.ports import BlobLeased, Blobs, Queues, Table
from shared.storage.pages import Author
from shared.wire.aml_jsonl import OffsetUnit
from tests.support.azurite import QUIET
from tests.support.storage.faults import Faults

LS, AML = Studio.LANGUAGE_STUDIO, Studio.AZURE_ML
FILE = "labels.jsonl"


class Storage(Protocol):
    @property
    def blobs(self) -> Blobs: ...
    @property
    def queues(self) -> Queues: ...
    def table(self, name: str) -> Table: ...


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Process:
    """One process of the app: its own caches, over storage that may fail it as a plan says."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        prefix: str,
        faults: Faults | None = None,
        azure_ml: LabelingStudio | None = None,
        unit: OffsetUnit = OffsetUnit.UTF16,
    ) -> None:
        self.faults = faults or Faults()
        table, blobs = self.faults.table(storage.table("projects")), self.faults.blobs(storage.blobs)
        names = Names(prefix)
        self.stores: Stores = build(names, table, blobs, self.faults.queues(storage.queues), clock)
        rows = self.faults.table(storage.table("connections"))
        self.connections = ConnectionStore(rows, blobs, f"{prefix}-tombstones")
        studios: dict[StudioKind, LabelingStudio] = {StudioKind.WORKSPACE: WorkspaceStudio(LabelBlobs(blobs))}
        if azure_ml is not None:
            studios[StudioKind.AZURE_ML] = azure_ml
        jobs = JobService(self.stores, BudgetService(self.stores, {}), KindsOfJobs({}))
        self.service = ConnectionService(self.stores, self.connections, studios, jobs, unit, clock.sleep)
        self.documents = DocumentService(self.stores)


class World:
    """Storage and time, which outlive every process, and what people do."""

    def __init__(
        self,
        storage: Storage,
        azure_ml: LabelingStudio | None = None,
        unit: OffsetUnit = OffsetUnit.UTF16,
        prefix: str = "",
    ) -> None:
        self.storage = storage
        self.clock = Clock()
        self.prefix = prefix or f"{QUIET}{uuid4().hex[:10]}"
        self.labeling = f"{self.prefix}lab"
        self.texts = f"{self.prefix}docs"
        self._azure_ml = azure_ml
        self._unit = unit
        self.app = self.start()

    def start(self, faults: Faults | None = None) -> Process:
        self.app = Process(self.storage, self.clock, self.prefix, faults, self._azure_ml, self._unit)
        return self.app

    def copy(self) -> "World":
        """A world in the same state, with a process of its own; of storage in memory."""
        world = copy.copy(self)
        world.storage, world.clock = copy.deepcopy(self.storage), copy.copy(self.clock)
        world.start()
        return world

    async def prepare(self) -> "World":
        await self.storage.blobs.create_container(self.labeling)
        await self.storage.blobs.create_container(self.texts)
        return self

    def binding(self, name: str = "news") -> Binding:
        return Binding(StudioKind.WORKSPACE, self.labeling, name)

    # The project

    async def project(
        self,
        name: str = "p",
        kind: ProjectKind = ProjectKind.SINGLE_LABEL,
        documents: Sequence[str] = ("a.txt", "b.txt", "c.txt"),
        text: str = "Ada Lovelace wrote a program.",
        pages: int = 4,
    ) -> Project:
        now = self.clock()
        project = Project(name, kind, self.texts, "en-us", now, now, random_id(), random_id(), pages=pages)
        project = replace(project, categories=(Category("A"), Category("B")))
        project = await self.app.stores.directory.create(project)
        for location in documents:
            await self.upload(project, location, text)
        return project

    async def upload(self, project: Project, location: str, text: str) -> Document:
        await self.storage.blobs.write(self.texts, location, text.encode())
        known = (await self.read(project)).get(location) or new_document(location, "en-us", random_id())
        return await self._save(project, apply(known, Reading("e", text, None), random_id()))

    async def register_unread(
        self, project: Project, location: str, labels: Labels | None = None
    ) -> Document:
        """A document whose text was not read yet."""
        document = replace(new_document(location, "en-us", random_id()), labels=labels)
        return await self._save(project, document)

    async def _save(self, project: Project, document: Document) -> Document:
        handle = await self.app.stores.directory.fresh(project.name)
        number = page_of(document.id, project.pages)
        edit = Edit({document.id: document})
        author = Author("upload", self.clock(), random_id())
        await self.app.stores.pages.write(
            handle, [number], lambda page, now: edit, author, ignores_fence=True
        )
        return document

    async def label(self, location: str, labels: Labels | str | None, name: str = "p") -> None:
        """A person labels here."""
        project = await self.app.stores.directory.read(name)
        document = (await self.read(project))[location]
        wanted = Labels((labels,)) if isinstance(labels, str) else labels
        await self.app.documents.set_labels(name, document.id, ANY_VERSION, wanted, "person")

    async def read(self, project: Project) -> dict[str, Document]:
        """The documents as they lie in storage, by location."""
        project = await self.app.stores.directory.read(project.name)
        return {
            d.location: d
            async for p in self.app.stores.pages.scan(project.scope)
            for d in p.documents.values()
        }

    async def labels(self, name: str = "p", studio: Studio = LS) -> dict[str, Any]:
        """location -> the class, or the entities, or None."""
        project = await self.app.stores.directory.read(name)
        found = await self.read(project)
        return {key: _plain(document.active_labels(studio)) for key, document in sorted(found.items())}

    # The other studio

    def line(self, location: str, label: Any) -> bytes:
        url = f"AmlDatastore://{self.texts}/{location}"
        return json.dumps({"image_url": url, "label": label}).encode() + b"\n"

    async def file(self, name: str = "news") -> dict[str, Any]:
        """The label file: location -> label."""
        content = await self.storage.blobs.read(self.labeling, f"{name}/{FILE}")
        lines = [json.loads(line) for line in (content.data if content else b"").splitlines()]
        return {
            line["image_url"].removeprefix(f"AmlDatastore://{self.texts}/"): line["label"] for line in lines
        }

    async def write_file(self, labels: dict[str, Any], name: str = "news", extra: bytes = b"") -> bool:
        """A tool writes the label file; False: labeling there is switched off."""
        data = b"".join(self.line(location, label) for location, label in labels.items()) + extra
        try:
            await self.storage.blobs.write(self.labeling, f"{name}/{FILE}", data)
        except BlobLeased:
            return False
        return True

    async def file_is_open(self, name: str = "news") -> bool:
        info = await self.storage.blobs.stat(self.labeling, f"{name}/{FILE}")
        return info is not None and not info.leased

    # The connection

    async def drive(self, name: str = "p", limit: int = 200) -> None:
        """Run the connection until it is idle, advancing the clock while it waits."""
        try:
            project = await self.app.stores.directory.read(name)
            incarnation = project.incarnation
        except ProjectNotFound:
            return
        for _ in range(limit):
            wait = await self.app.service.advance(name, incarnation)
            if wait is None:
                return
            self.clock.pass_(max(wait, 1))
        raise AssertionError("The connection does not come to rest.")

    async def connect(self, name: str = "p", binding: Binding | None = None) -> Job:
        return await self._finish(
            await self.app.service.connect(name, binding or self.binding(), "lead", new_job()), name
        )

    async def switch(self, to: Studio, name: str = "p", caller: Any = None) -> Job:
        return await self._finish(await self.app.service.switch(name, to, "lead", new_job(), caller), name)

    async def sync(self, name: str = "p") -> Job:
        return await self._finish(await self.app.service.sync(name, "lead", new_job()), name)

    async def disconnect(self, name: str = "p", confirm: str = "news", discard: bool = True) -> Job:
        job = await self.app.service.disconnect(name, confirm, discard, "lead", new_job())
        return await self._finish(job, name)

    async def _finish(self, job: Job, name: str) -> Job:
        await self.drive(name)
        return await self.app.service.job(name, job.id)


def new_job() -> str:
    return str(uuid4())


def _plain(labels: Labels | None) -> Any:
    if labels is None:
        return None
    if labels.regions:
        return [[e.category, e.offset, e.length] for e in labels.entities()]
    return labels.categories[0] if len(labels.categories) == 1 else list(labels.categories)


async def state(world: World, name: str = "p") -> tuple[str, str]:
    """State of the connection, and the active studio."""
    connection = (await world.app.service.get(name)).connection
    return connection.state, connection.active
