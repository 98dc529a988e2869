"""Studio `workspace`: the labeling project is a file `{name}/labels.jsonl` in a container of this storage
account.

People label with any tool that writes that file. Labeling there is switched off by an infinite lease on the
file, whose id follows from the turn that took it: a late release of an older turn releases nothing.
"""

import uuid
from collections.abc import AsyncIterable
from typing import Final

from azure.core.credentials_async import AsyncTokenCredential

from shared.domain.bond import LABELS_FILE
from shared.domain.conditions import Condition
from shared.domain.jobs import JobError
from shared.studios.base import Exported, Site, StudioFailed, Waiting
from shared.studios.blobs import LabelBlobs

_NAMESPACE: Final = uuid.UUID("6f4d4f0e-1df4-4f2c-9d0e-0a3c5bb0c9a1")
CONTENT_TYPE: Final = "application/x-ndjson"


class WorkspaceStudio:
    def __init__(self, blobs: LabelBlobs) -> None:
        self._blobs = blobs

    @property
    def takes_labels(self) -> bool:
        return True

    def warnings(self, site: Site) -> list[JobError]:
        told = {"vendor": site.bond.vendor, "instructions": site.bond.instructions}
        message = "The studio 'workspace' has no {}; tell the labelers yourself."
        return [
            JobError("NotSupported", message.format(field), field) for field, value in told.items() if value
        ]

    def datastore(self, site: Site) -> str:
        return site.container

    async def conditions(self, site: Site) -> list[Condition]:
        container = site.bond.workspace_id
        if not await self._blobs.container_exists(container):
            message = f"The storage account has no container '{container}'."
            return [Condition("ContainerExists", False, message, "workspaceId")]
        info = await self._blobs.stat(container, _name(site))
        free = info is None or info.size == 0
        message = (
            "The name is free."
            if free
            else f"'{container}/{_name(site)}' exists already; choose another name."
        )
        return [
            Condition("ContainerExists", True, f"The container '{container}' exists.", "workspaceId"),
            Condition("NameIsFree", free, message, "amlProjectName"),
        ]

    async def create(self, site: Site) -> Waiting | None:
        """An empty file of that name holds nobody's work: it may be ours, left behind by a crash."""
        info = await self._blobs.stat(site.bond.workspace_id, _name(site))
        if info is None:
            await self._blobs.write(site.bond.workspace_id, _name(site), b"", content_type=CONTENT_TYPE)
        elif info.size:
            raise StudioFailed("Conflict", f"The file '{_name(site)}' was made by somebody else meanwhile.")
        return None

    async def close(self, site: Site) -> Waiting | None:
        if await self._lease(site, site.closed):
            return None
        if await self._blobs.stat(site.bond.workspace_id, _name(site)) is None:
            raise StudioFailed("NotFound", f"The label file '{site.bond.path}' was deleted.")
        # A switch that did not come to open the file left our older lease on it.
        await self._blobs.release_lease(site.bond.workspace_id, _name(site), _lease_id(site, site.reclosed))
        if await self._lease(site, site.closed):
            return None
        return Waiting(5, "Another tool holds a lease on the label file; it is waited for.")

    async def open(self, site: Site) -> Waiting | None:
        await self._blobs.release_lease(site.bond.workspace_id, _name(site), _lease_id(site, site.closed))
        return None

    async def release(self, site: Site) -> Waiting | None:
        """The lease stays for ever: nothing that is written there would reach anybody. The labels can be
        read.
        """
        await self._lease(site, site.turn)
        return None

    async def withdraw(self, site: Site) -> Waiting | None:
        await self.open(site)
        info = await self._blobs.stat(site.bond.workspace_id, _name(site))
        if info is not None and info.size == 0:
            await self._blobs.delete(site.bond.workspace_id, _name(site))
        return None

    async def hand_over(self, site: Site, lines: AsyncIterable[bytes]) -> None:
        data = b"".join([line async for line in lines])
        await self.marker(site)
        lease = _lease_id(site, site.closed)
        await self._blobs.write(
            site.bond.workspace_id, _name(site), data, lease=lease, content_type=CONTENT_TYPE
        )

    async def marker(self, site: Site) -> str:
        info = await self._blobs.stat(site.bond.workspace_id, _name(site))
        if info is None:
            raise StudioFailed("NotFound", f"The label file '{site.bond.path}' was deleted.")
        return info.etag

    async def begin_export(self, site: Site) -> str:
        return ""

    async def export(self, site: Site, ticket: str) -> Exported | Waiting:
        await self.marker(site)
        return Exported(((site.bond.workspace_id, _name(site)),))

    async def completed(self, site: Site) -> int | None:
        return None

    async def require_may_switch(self, site: Site, caller: AsyncTokenCredential | None) -> None:
        """Whoever may switch here may switch back: the file has no roles of its own."""

    async def _lease(self, site: Site, turn: int) -> bool:
        return await self._blobs.lease(site.bond.workspace_id, _name(site), _lease_id(site, turn))


def _name(site: Site) -> str:
    return f"{site.bond.name}/{LABELS_FILE}"


def _lease_id(site: Site, turn: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{site.bond.key}|{site.owner}|{turn}"))
