"""Studio `workspace`: the labeling project is a file `{name}/labels.jsonl` in a container of this storage
account.

People label with any tool that writes that file. An infinite lease on the file prevents labeling; its id derives
from the saga that acquired it, so a late release of an older saga has no effect.
"""

import uuid
from collections.abc import AsyncIterable
from typing import Final

from azure.core.credentials_async import AsyncTokenCredential

from shared.connection.binding import LABELS_FILE
from shared.connection.conditions import Condition
from shared.connection.studios.base import Export, Exported, LabelBlobs, StudioFailed, StudioTarget, Waiting
from shared.domain.jobs import JobError

_NAMESPACE: Final = uuid.UUID("6f4d4f0e-1df4-4f2c-9d0e-0a3c5bb0c9a1")
CONTENT_TYPE: Final = "application/x-ndjson"


class WorkspaceStudio:
    def __init__(self, blobs: LabelBlobs) -> None:
        self._blobs = blobs

    @property
    def takes_labels(self) -> bool:
        return True

    def warnings(self, target: StudioTarget) -> list[JobError]:
        values = {"vendor": target.binding.vendor, "instructions": target.binding.instructions}
        message = "The studio 'workspace' does not support {}; inform the labelers yourself."
        return [
            JobError("NotSupported", message.format(field), field) for field, value in values.items() if value
        ]

    def datastore(self, target: StudioTarget) -> str:
        return target.container

    async def conditions(self, target: StudioTarget) -> list[Condition]:
        container = target.binding.workspace_id
        if not await self._blobs.container_exists(container):
            message = f"The container '{container}' does not exist in the storage account."
            return [Condition("ContainerExists", False, message, "workspaceId")]
        info = await self._blobs.stat(container, _name(target))
        free = info is None or info.size == 0
        message = (
            "The name is available."
            if free
            else f"'{container}/{_name(target)}' already exists. Choose another name."
        )
        return [
            Condition("ContainerExists", True, f"The container '{container}' exists.", "workspaceId"),
            Condition("NameIsFree", free, message, "amlProjectName"),
        ]

    async def create(self, target: StudioTarget) -> Waiting | None:
        """An empty file of that name holds no labels: a crash may have left it."""
        info = await self._blobs.stat(target.binding.workspace_id, _name(target))
        if info is None:
            await self._blobs.write(
                target.binding.workspace_id, _name(target), b"", content_type=CONTENT_TYPE
            )
        elif info.size:
            raise StudioFailed(
                "Conflict", f"The file '{_name(target)}' was created by another tool meanwhile."
            )
        return None

    async def close(self, target: StudioTarget) -> Waiting | None:
        if await self._lease(target, target.closed_sequence):
            return None
        if await self._blobs.stat(target.binding.workspace_id, _name(target)) is None:
            raise StudioFailed("NotFound", f"The label file '{target.binding.path}' was deleted.")
        # A switch that was undone before it opened the file left our older lease on it.
        await self._release(target, target.previous_closed_sequence)
        if await self._lease(target, target.closed_sequence):
            return None
        return Waiting(5, "Waiting for another tool to release its lease on the label file.")

    async def open(self, target: StudioTarget) -> Waiting | None:
        await self._release(target, target.closed_sequence)
        return None

    async def release(self, target: StudioTarget) -> Waiting | None:
        """The lease stays, because labels written here would never be imported. The file can be read."""
        await self._lease(target, target.sequence)
        return None

    async def withdraw(self, target: StudioTarget) -> Waiting | None:
        await self.open(target)
        info = await self._blobs.stat(target.binding.workspace_id, _name(target))
        if info is not None and info.size == 0:
            await self._blobs.delete(target.binding.workspace_id, _name(target))
        return None

    async def hand_over(self, target: StudioTarget, lines: AsyncIterable[bytes]) -> None:
        data = b"".join([line async for line in lines])
        await self.marker(target)
        lease = _lease_id(target, target.closed_sequence)
        await self._blobs.write(
            target.binding.workspace_id, _name(target), data, lease=lease, content_type=CONTENT_TYPE
        )

    async def marker(self, target: StudioTarget) -> str:
        info = await self._blobs.stat(target.binding.workspace_id, _name(target))
        if info is None:
            raise StudioFailed("NotFound", f"The label file '{target.binding.path}' was deleted.")
        return info.etag

    async def begin_export(self, target: StudioTarget) -> Export:
        return Export()

    async def export(self, target: StudioTarget, note: str) -> Exported | Waiting:
        await self.marker(target)
        return Exported(((target.binding.workspace_id, _name(target)),))

    async def completed(self, target: StudioTarget) -> int | None:
        return None

    async def require_may_switch(self, target: StudioTarget, caller: AsyncTokenCredential | None) -> None:
        """The file has no permissions of its own: the role on the project suffices."""

    async def _release(self, target: StudioTarget, sequence: int) -> None:
        await self._blobs.release_lease(
            target.binding.workspace_id, _name(target), _lease_id(target, sequence)
        )

    async def _lease(self, target: StudioTarget, sequence: int) -> bool:
        return await self._blobs.lease(
            target.binding.workspace_id, _name(target), _lease_id(target, sequence)
        )


def _name(target: StudioTarget) -> str:
    return f"{target.binding.name}/{LABELS_FILE}"


def _lease_id(target: StudioTarget, sequence: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{target.binding.key}|{target.owner}|{sequence}"))
