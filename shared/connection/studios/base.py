"""What a connection needs from the other studio, and what adapters need. Every call may be repeated.

Calls raise `shared.domain.errors.Unavailable` when a retry may help, `StudioFailed` when it cannot.
"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from azure.core.credentials_async import AsyncTokenCredential

from shared.connection.binding import Binding
from shared.connection.conditions import Condition
from shared.domain.errors import Unavailable
from shared.domain.jobs import JobError
from shared.domain.names import ProjectKind
from shared.storage.gateways.ports import BlobChanged, BlobInfo, BlobLeased, Blobs, ContainerMissing


class StudioFailed(Exception):
    """The studio refused, and a retry would not help; `error` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = JobError(code, message)


@dataclass(frozen=True, slots=True)
class StudioTarget:
    """A labeling project as its adapter needs to know it.

    `owner` is the incarnation of the project that it belongs to. `sequence` numbers the running saga,
    `closed_sequence` the one that last closed the studio, `previous_closed_sequence` the one before it: a late
    step of an older saga must not open what a newer one closed.
    """

    binding: Binding
    owner: str
    project: str
    kind: ProjectKind
    container: str
    categories: tuple[str, ...]
    sequence: int
    closed_sequence: int
    previous_closed_sequence: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Call again in `seconds`. `reason` is shown to people."""

    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Export:
    """An export that has started. `note` is for later calls; `waiting`: the first of them should wait."""

    note: str = ""
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """Exported labels in this storage account: (container, blob) in the order of reading."""

    files: tuple[tuple[str, str], ...]


class LabelingStudio(Protocol):
    @property
    def takes_labels(self) -> bool:
        """Whether labels can be handed over; if not, the labeling project starts without labels."""
        ...

    def warnings(self, target: StudioTarget) -> list[JobError]:
        """What the studio cannot accept: vendor, instructions, labels."""
        ...

    def datastore(self, target: StudioTarget) -> str:
        """The datastore named by the lines of its label file."""
        ...

    async def conditions(self, target: StudioTarget) -> list[Condition]:
        """The conditions of connecting that depend on the studio (rule C13); changes nothing."""
        ...

    async def create(self, target: StudioTarget) -> Waiting | None:
        """Create the labeling project, or find the one created for this owner; None: it is ready."""
        ...

    async def close(self, target: StudioTarget) -> Waiting | None:
        """Prevent labeling; None: nobody can label until `open`."""
        ...

    async def open(self, target: StudioTarget) -> Waiting | None:
        """Allow labeling."""
        ...

    async def release(self, target: StudioTarget) -> Waiting | None:
        """Close it permanently and remove our tag; deletes no labels."""
        ...

    async def withdraw(self, target: StudioTarget) -> Waiting | None:
        """Undo `create`, as far as the studio allows."""
        ...

    async def hand_over(self, target: StudioTarget, lines: AsyncIterable[bytes]) -> None:
        """Replace the labels by these lines (only if `takes_labels`)."""
        ...

    async def marker(self, target: StudioTarget) -> str:
        """Changes whenever labels change; "" if only an export can tell."""
        ...

    async def begin_export(self, target: StudioTarget) -> Export:
        """Start an export of all labels."""
        ...

    async def export(self, target: StudioTarget, note: str) -> Exported | Waiting:
        """The exported files, when they are ready. `note`: that of `begin_export`."""
        ...

    async def completed(self, target: StudioTarget) -> int | None:
        """How many documents are labeled; None if only the label file can tell."""
        ...

    async def require_may_switch(self, target: StudioTarget, caller: AsyncTokenCredential | None) -> None:
        """Raises Forbidden unless the caller has the permission to switch back (rule C9)."""
        ...


class LabelBlobs:
    """Label files in the storage account. A lease of another tool or a missing container is Unavailable."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def container_exists(self, container: str) -> bool:
        return await self._blobs.container_exists(container)

    async def stat(self, container: str, name: str) -> BlobInfo | None:
        return await self._blobs.stat(container, name)

    async def write(
        self, container: str, name: str, data: bytes, *, lease: str | None = None, content_type: str
    ) -> None:
        try:
            await self._blobs.write(container, name, data, lease=lease, content_type=content_type)
        except (BlobLeased, BlobChanged) as error:
            raise Unavailable(
                f"The file '{container}/{name}' is locked by a lease of another tool.", retry_after=5
            ) from error
        except ContainerMissing as error:
            raise Unavailable(f"The container '{container}' does not exist.", retry_after=30) from error

    async def delete(self, container: str, name: str) -> None:
        try:
            await self._blobs.delete(container, name)
        except BlobLeased as error:
            raise Unavailable(
                f"The file '{container}/{name}' is locked by a lease of another tool.", retry_after=5
            ) from error

    async def lease(self, container: str, name: str, lease_id: str) -> bool:
        try:
            return await self._blobs.acquire_lease(container, name, lease_id)
        except BlobLeased:
            return False

    async def release_lease(self, container: str, name: str, lease_id: str) -> None:
        await self._blobs.release_lease(container, name, lease_id)

    async def names(self, container: str, prefix: str) -> AsyncIterator[str]:
        try:
            async for page in self._blobs.list(container, prefix=prefix):
                for blob in page:
                    yield blob.name
        except ContainerMissing:
            return
