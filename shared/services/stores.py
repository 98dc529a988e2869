"""What use cases work with: the stores of one deployment, its clock, and which containers are its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.services.directory import Directory
from shared.services.gate import Gate
from shared.storage.artefacts import Artefacts
from shared.storage.gateways.ports import Blobs, Queues, Table
from shared.storage.idempotency import IdempotencyStore
from shared.storage.jobs import JobStore
from shared.storage.models import ModelStore
from shared.storage.pages import PageStore
from shared.storage.projects import ProjectStore
from shared.storage.todo import TodoStore
from shared.storage.uploads import UploadedBlobs
from shared.storage.usage import UsageStore


@dataclass(frozen=True, slots=True)
class Names:
    """Everything of ours in the user's storage account begins with the prefix (setting TABLE_PREFIX)."""

    prefix: str = "labelbridge"

    @property
    def container(self) -> str:
        return self.prefix

    def is_ours(self, container: str) -> bool:
        ours = container == self.prefix or container.startswith(f"{self.prefix}-")
        return ours or container.startswith(("azure-webjobs-", "$"))


@dataclass(frozen=True, slots=True)
class Stores:
    names: Names
    table: Table
    blobs: Blobs
    queues: Queues
    clock: Callable[[], datetime]
    projects: ProjectStore
    directory: Directory
    pages: PageStore
    gate: Gate
    jobs: JobStore
    models: ModelStore
    usage: UsageStore
    todo: TodoStore
    uploads: UploadedBlobs
    artefacts: Artefacts
    idempotency: IdempotencyStore


def build(
    names: Names, table: Table, blobs: Blobs, queues: Queues, clock: Callable[[], datetime] | None = None
) -> Stores:
    now = clock or (lambda: datetime.now(UTC))
    projects = ProjectStore(table)
    directory = Directory(projects)
    artefacts = Artefacts(blobs, names.container)
    jobs = JobStore(table)
    pages = PageStore(table, artefacts, now)
    return Stores(
        names=names,
        table=table,
        blobs=blobs,
        queues=queues,
        clock=now,
        projects=projects,
        directory=directory,
        pages=pages,
        gate=Gate(directory, pages),
        jobs=jobs,
        models=ModelStore(table, jobs),
        usage=UsageStore(table),
        todo=TodoStore(table, now),
        uploads=UploadedBlobs(blobs),
        artefacts=artefacts,
        idempotency=IdempotencyStore(table, now),
    )
