"""Studio `azure-ml`: an AML labeling job of media type Text, driven over Azure Resource Manager.

The job bears our tag with the incarnation of its project: so that a connect that was cut short knows its own.
AML's REST takes no labels for text projects, so people there begin with none. Labels come back as an export
to a dataset, whose JSONL files lie in the workspace's blob store, which is this storage account (a condition
of connecting).
"""

import hashlib
import json
import re
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from azure.core.credentials_async import AsyncTokenCredential

from shared.domain.conditions import Condition
from shared.domain.errors import Forbidden
from shared.domain.jobs import JobError
from shared.studios.arm import Arm
from shared.studios.azure_ml_checks import may_write_labeling, workspace_conditions
from shared.studios.base import Exported, Site, StudioFailed, Waiting
from shared.studios.blobs import LabelBlobs
from shared.studios.labeling_job import (
    TAG,
    Door,
    LabelingJob,
    broken,
    door,
    is_link,
    labeling_job,
    owner,
    ready,
    status,
    waiting,
    writable,
)

API_VERSION: Final = "2024-01-01-preview"


@dataclass(frozen=True, slots=True)
class AzureMlOptions:
    """`storage_account_id`: resource id of our storage account; `api_version` must know labeling jobs."""

    storage_account_id: str
    api_version: str = API_VERSION

    @property
    def account(self) -> str:
        return self.storage_account_id.rstrip("/").rsplit("/", 1)[-1]


class AzureMlStudio:
    def __init__(self, arm: Arm, blobs: LabelBlobs, options: AzureMlOptions) -> None:
        self._arm = arm
        self._blobs = blobs
        self._options = options

    @property
    def takes_labels(self) -> bool:
        return False

    def warnings(self, site: Site) -> list[JobError]:
        found: list[JobError] = []
        if site.bond.vendor:
            text = "Azure Machine Learning's REST takes no vendor; choose the vendor in its studio."
            found.append(JobError("NotSupported", text, "vendor"))
        if site.bond.instructions and not is_link(site.bond.instructions):
            text = "Azure Machine Learning takes instructions as a link (https://...) only."
            found.append(JobError("NotSupported", text, "instructions"))
        return found

    def datastore(self, site: Site) -> str:
        return f"labelbridge_{hashlib.sha256(site.container.encode()).hexdigest()[:12]}"

    async def conditions(self, site: Site) -> list[Condition]:
        try:
            found = await workspace_conditions(
                self._arm, site.bond.workspace, self._options.storage_account_id
            )
            job = await self._find(site) if found[0].met else None
        except StudioFailed as refused:  # not allowed to look: told with the other conditions
            return [Condition("WorkspaceReadable", False, refused.fault.message, "workspaceId")]
        if not found[0].met:
            return found
        free = job is None or owner(job) == site.owner
        message = "The name is free." if free else f"The workspace has a labeling project '{site.bond.name}'."
        return [*found, Condition("NameIsFree", free, message, "amlProjectName")]

    async def create(self, site: Site) -> Waiting | None:
        job = await self._find(site)
        if job is None:
            await self._make_data(site)
            body = labeling_job(site, f"{site.bond.workspace}/data/{self.datastore(site)}/versions/1")
            await self._arm.put(self._path(site), self._options.api_version, body)
            job = await self._get(site)
        if owner(job) != site.owner:
            raise StudioFailed(
                "Conflict", f"The labeling project '{site.bond.name}' was made by somebody else."
            )
        return ready(job)

    async def close(self, site: Site) -> Waiting | None:
        job = await self._get(site)
        match door(job):
            case Door.SHUT:
                return None
            case Door.OPEN:
                await self._arm.post(f"{self._path(site)}/pause", self._options.api_version)
                return None if door(await self._get(site)) is Door.SHUT else waiting(job, "to pause")
            case Door.MOVING:
                return waiting(job, "to be ready to pause")
            case Door.BROKEN:
                raise broken(job)

    async def open(self, site: Site) -> Waiting | None:
        job = await self._get(site)
        match door(job):
            case Door.OPEN:
                return None
            case Door.SHUT if status(job) == "Completed":
                return None  # everything is labeled: there is nothing to open
            case Door.SHUT:
                await self._arm.post(f"{self._path(site)}/resume", self._options.api_version)
                return None if door(await self._get(site)) is Door.OPEN else waiting(job, "to resume")
            case Door.MOVING:
                return waiting(job, "to be ready to resume")
            case Door.BROKEN:
                raise broken(job)

    async def release(self, site: Site) -> Waiting | None:
        job = await self._find(site)
        if job is None or owner(job) != site.owner:
            return None
        if door(job) is Door.MOVING:
            return waiting(job, "to be ready to pause")
        if door(job) is Door.OPEN:
            await self._arm.post(f"{self._path(site)}/pause", self._options.api_version)
        body = writable(job)
        tags = {key: value for key, value in body["properties"].get("tags", {}).items() if key != TAG}
        body["properties"]["tags"] = tags
        await self._arm.put(self._path(site), self._options.api_version, body)
        return None

    async def withdraw(self, site: Site) -> Waiting | None:
        """The tag stays: AML never lets a name be used again, so it must stay ours for the next try."""
        job = await self._find(site)
        if job is not None and owner(job) == site.owner and door(job) is Door.OPEN:
            await self._arm.post(f"{self._path(site)}/pause", self._options.api_version)
        return None

    async def hand_over(self, site: Site, lines: AsyncIterable[bytes]) -> None:
        raise StudioFailed("NotSupported", "Azure Machine Learning takes no labels for text projects.")

    async def marker(self, site: Site) -> str:
        return ""

    async def begin_export(self, site: Site) -> str:
        path = f"{self._path(site)}/exportLabels"
        answer = await self._arm.post(path, self._options.api_version, {"format": "Dataset"})
        return json.dumps({"asset": _asset(answer.body), "poll": answer.location})

    async def export(self, site: Site, ticket: str) -> Exported | Waiting:
        begun = json.loads(ticket)
        asset = begun["asset"]
        if not asset and begun["poll"]:
            answer = await self._arm.poll(begun["poll"])
            if answer.status == 202:
                return Waiting(5, "Azure Machine Learning is exporting the labels.")
            asset = _asset(answer.body)
        if not asset:
            raise StudioFailed(
                "ExportFailed", "Azure Machine Learning exported the labels but names no dataset."
            )
        container, folder = await self._folder(site, asset)
        names = [name async for name in self._blobs.names(container, folder) if name.endswith(".jsonl")]
        return Exported(tuple((container, name) for name in sorted(names, key=_natural)))

    async def completed(self, site: Site) -> int | None:
        metrics: Any = (await self._get(site))["properties"].get("progressMetrics") or {}
        return int(metrics.get("completedDatapointCount", 0))

    async def require_may_switch(self, site: Site, caller: AsyncTokenCredential | None) -> None:
        if caller is None:
            message = "Switching back needs a bearer token: the caller's right on the workspace is checked."
            raise Forbidden(message, inner_code="BearerTokenNeeded")
        if not await may_write_labeling(self._arm, caller, site.bond.workspace):
            message = (
                "The caller may not change labeling projects of the workspace (labeling/projects/write)."
            )
            raise Forbidden(message, inner_code="NoRightOnWorkspace")

    def _path(self, site: Site) -> str:
        return f"{site.bond.workspace}/labelingJobs/{site.bond.name}"

    async def _find(self, site: Site) -> LabelingJob | None:
        answer = await self._arm.get(self._path(site), self._options.api_version)
        return answer.body if answer else None

    async def _get(self, site: Site) -> LabelingJob:
        job = await self._find(site)
        if job is None:
            raise StudioFailed(
                "NotFound", f"The workspace has no labeling project '{site.bond.name}' (any more)."
            )
        return job

    async def _make_data(self, site: Site) -> None:
        """The documents' container as a datastore, and a data asset on it: what a labeling job points to."""
        name, workspace = self.datastore(site), site.bond.workspace
        store = {
            "datastoreType": "AzureBlob",
            "accountName": self._options.account,
            "containerName": site.container,
            "endpoint": "core.windows.net",
            "protocol": "https",
            "credentials": {"credentialsType": "None"},
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        }
        version = self._options.api_version
        await self._arm.put(f"{workspace}/datastores/{name}", version, {"properties": store})
        uri = f"azureml:/{workspace}/datastores/{name}/paths/"
        asset = {
            "dataType": "uri_folder",
            "dataUri": uri,
            "description": "Documents labeled with Labelbridge",
        }
        if await self._arm.get(f"{workspace}/data/{name}/versions/1", version) is None:
            await self._arm.put(f"{workspace}/data/{name}/versions/1", version, {"properties": asset})

    async def _folder(self, site: Site, asset: str) -> tuple[str, str]:
        """(container, folder) of a data asset, by its datastore, which must lie in our storage account."""
        workspace, version = site.bond.workspace, self._options.api_version
        name, _, number = asset.partition(":")
        if not number:
            data = await self._must(f"{workspace}/data/{name}")
            number = str(data["properties"].get("latestVersion", "1"))
        data = await self._must(f"{workspace}/data/{name}/versions/{number}")
        match = re.search(r"datastores/([^/]+)/paths/(.*)", str(data["properties"].get("dataUri", "")))
        if match is None:
            raise StudioFailed("ExportFailed", f"The data asset '{asset}' does not lie in a datastore.")
        store = (await self._must(f"{workspace}/datastores/{match[1]}", version))["properties"]
        if str(store.get("accountName", "")).lower() != self._options.account.lower():
            raise StudioFailed("ExportFailed", f"The datastore '{match[1]}' is not in this storage account.")
        return str(store["containerName"]), match[2]

    async def _must(self, path: str, version: str | None = None) -> Mapping[str, Any]:
        answer = await self._arm.get(path, version or self._options.api_version)
        if answer is None:
            raise StudioFailed("ExportFailed", f"Azure has no resource '{path}'.")
        return answer.body


def _asset(body: Mapping[str, Any]) -> str:
    return str(
        body.get("labeledAssetName")
        or cast("Mapping[str, Any]", body.get("properties") or {}).get("labeledAssetName")
        or ""
    )


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """`x_2` before `x_10`."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name))
