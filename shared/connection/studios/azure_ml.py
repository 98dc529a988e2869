"""Studio `azure-ml`: a labeling job of media type Text in AML, through Azure Resource Manager.

The job is tagged with the incarnation of its project, so that a connect that is resumed finds its own job. AML's
REST accepts no labels for text projects, so the job starts without labels. An export writes the labels to a
dataset, as JSONL files in the workspace's blob store, which is this storage account (a condition of connecting).
"""

import hashlib
import json
import re
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast
from urllib.parse import unquote

from azure.core.credentials_async import AsyncTokenCredential

from shared.connection.binding import LABELING_API_VERSION, parse_workspace_id
from shared.connection.conditions import Condition
from shared.connection.studios.arm import Answer, Arm, may_write_labeling, workspace_conditions
from shared.connection.studios.base import Export, Exported, LabelBlobs, StudioFailed, StudioTarget, Waiting
from shared.domain.errors import Forbidden
from shared.domain.jobs import JobError
from shared.domain.names import ProjectKind

#: The datastore that every workspace has, in the storage account of the workspace.
DEFAULT_DATASTORE: Final = "workspaceblobstore"


TAG: Final = "labelbridge"
ASK_AGAIN: Final = 5
_READ_ONLY: Final = frozenset(
    {"status", "provisioningState", "projectId", "createdDateTime", "progressMetrics", "statusMessages"}
)

type LabelingJob = Mapping[str, Any]


class Access(Enum):
    """Whether people can label in a labeling job."""

    OPEN = "open"
    CLOSED = "closed"
    CHANGING = "changing"
    FAILED = "failed"


ACCESS_BY_STATUS: Final = {
    "NotStarted": Access.CHANGING,
    "Starting": Access.CHANGING,
    "Provisioning": Access.CHANGING,
    "Preparing": Access.CHANGING,
    "Queued": Access.CHANGING,
    "Scheduled": Access.CHANGING,
    "Running": Access.OPEN,
    "Finalizing": Access.CHANGING,
    "CancelRequested": Access.CHANGING,
    "Completed": Access.CLOSED,
    "Paused": Access.CLOSED,
    "Failed": Access.FAILED,
    "Canceled": Access.FAILED,
    "NotResponding": Access.CHANGING,
    "Unknown": Access.CHANGING,
}


def labeling_job(target: StudioTarget, data_id: str) -> dict[str, Any]:
    """The body that creates the labeling job. Its fields follow the REST specification; no example shows Text."""
    entities = target.kind is ProjectKind.ENTITIES
    classes: dict[str, Any] = {name: {"displayName": name, "subclasses": {}} for name in target.categories}
    properties: dict[str, Any] = {
        "jobType": "Labeling",
        "description": f"Labeling of the project '{target.project}'",
        "tags": {TAG: target.owner},
        "properties": {},
        "dataConfiguration": {"dataId": data_id, "incrementalDataRefresh": "Enabled"},
        "labelCategories": {
            "labels": {
                "displayName": "labels",
                "multiSelect": "Enabled" if target.kind is ProjectKind.MULTI_LABEL else "Disabled",
                "classes": classes,
            }
        },
        "labelingJobMediaProperties": {
            "mediaType": "Text",
            "annotationType": "NamedEntityRecognition" if entities else "Classification",
        },
        "mlAssistConfiguration": {"mlAssist": "Disabled"},
    }
    if target.binding.instructions and is_link(target.binding.instructions):
        properties["jobInstructions"] = {"uri": target.binding.instructions}
    return {"properties": properties}


def is_link(text: str) -> bool:
    return text.startswith("https://") and not any(c.isspace() for c in text)


def status(job: LabelingJob) -> str:
    return str(job["properties"].get("status", "Unknown"))


def access(job: LabelingJob) -> Access:
    if job["properties"].get("provisioningState") in {"Failed", "Canceled"}:
        return Access.FAILED
    return ACCESS_BY_STATUS.get(status(job), Access.CHANGING)


def owner(job: LabelingJob) -> str | None:
    tags = cast("Mapping[str, str]", job["properties"].get("tags") or {})
    return tags.get(TAG)


def ready(job: LabelingJob) -> Waiting | None:
    match access(job):
        case Access.CHANGING:
            return waiting(job, "to be created")
        case Access.FAILED:
            raise job_failed(job)
        case _:
            return None


def waiting(job: LabelingJob, what: str, seconds: int | None = None) -> Waiting:
    """`seconds`: as Azure asked for (None: it did not)."""
    return Waiting(
        ASK_AGAIN if seconds is None else seconds,
        f"Waiting for the labeling project {what} (it is '{status(job)}').",
    )


def job_failed(job: LabelingJob) -> StudioFailed:
    messages = cast("list[Mapping[str, Any]]", job["properties"].get("statusMessages") or [])
    reasons = " ".join(str(m.get("message", ""))[:300] for m in messages if m.get("level") == "Error")
    state = status(job)
    return StudioFailed(
        "LabelingJobFailed", f"The labeling project is '{state}': {reasons or 'Azure gave no reason.'}"
    )


def writable(job: LabelingJob) -> dict[str, Any]:
    """The body to write back, without read-only fields."""
    return {"properties": {k: v for k, v in job["properties"].items() if k not in _READ_ONLY}}


@dataclass(frozen=True, slots=True)
class AzureMlOptions:
    """`storage_account_id`: resource ID of our storage account; `api_version` must have labeling jobs."""

    storage_account_id: str
    api_version: str = LABELING_API_VERSION

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

    def warnings(self, target: StudioTarget) -> list[JobError]:
        found: list[JobError] = []
        if target.binding.vendor:
            text = (
                "The REST API of Azure Machine Learning does not accept a vendor. "
                "Give the vendor's people access to the labeling project."
            )
            found.append(JobError("NotSupported", text, "vendor"))
        if target.binding.instructions and not is_link(target.binding.instructions):
            text = "Azure Machine Learning accepts instructions only as a link (https://...)."
            found.append(JobError("NotSupported", text, "instructions"))
        return found

    def datastore(self, target: StudioTarget) -> str:
        return f"labelbridge_{hashlib.sha256(target.container.encode()).hexdigest()[:12]}"

    async def conditions(self, target: StudioTarget) -> list[Condition]:
        try:
            found = await workspace_conditions(
                self._arm, target.binding.workspace, self._options.storage_account_id
            )
            job = await self._find(target) if found[0].met else None
        except StudioFailed as failure:  # no permission to read: reported with the other conditions
            return [Condition("WorkspaceReadable", False, failure.error.message, "workspaceId")]
        if not found[0].met:
            return found
        free = job is None or owner(job) == target.owner
        message = "The name is available."
        if not free:
            name = target.binding.name
            message = f"The workspace already has a labeling project '{name}'. Choose another name."
        return [*found, Condition("NameIsFree", free, message, "amlProjectName")]

    async def create(self, target: StudioTarget) -> Waiting | None:
        job = await self._find(target)
        if job is None:
            await self._make_data(target)
            body = labeling_job(
                target, f"{target.binding.workspace}/data/{self.datastore(target)}/versions/1"
            )
            await self._arm.put(self._path(target), self._options.api_version, body)
            job = await self._get(target)
        if owner(job) != target.owner:
            raise StudioFailed(
                "Conflict", f"The labeling project '{target.binding.name}' was created by another user."
            )
        return ready(job)

    async def close(self, target: StudioTarget) -> Waiting | None:
        return await self._bring(target, Access.CLOSED, "pause")

    async def open(self, target: StudioTarget) -> Waiting | None:
        return await self._bring(target, Access.OPEN, "resume")

    async def _bring(self, target: StudioTarget, wanted: Access, action: str) -> Waiting | None:
        job = await self._get(target)
        match access(job):
            case found if found is wanted:
                return None
            case Access.CLOSED if status(job) == "Completed":
                return None  # everything is labeled; there is nothing to open
            case Access.CHANGING:
                return waiting(job, f"to be ready to {action}")
            case Access.FAILED:
                raise job_failed(job)
            case _:
                answer = await self._arm.post(f"{self._path(target)}/{action}", self._options.api_version)
                done = access(await self._get(target)) is wanted
                return None if done else waiting(job, f"to {action}", answer.retry_after)

    async def release(self, target: StudioTarget) -> Waiting | None:
        job = await self._find(target)
        if job is None or owner(job) != target.owner:
            return None
        if access(job) is Access.CHANGING:
            return waiting(job, "to be ready to pause")
        if access(job) is Access.OPEN:
            await self._arm.post(f"{self._path(target)}/pause", self._options.api_version)
        body = writable(job)
        tags = {key: value for key, value in body["properties"].get("tags", {}).items() if key != TAG}
        body["properties"]["tags"] = tags
        await self._arm.put(self._path(target), self._options.api_version, body)
        return None

    async def withdraw(self, target: StudioTarget) -> Waiting | None:
        """The tag stays: AML allows no name to be used twice, so the job must stay ours for the next try."""
        job = await self._find(target)
        if job is not None and owner(job) == target.owner and access(job) is Access.OPEN:
            await self._arm.post(f"{self._path(target)}/pause", self._options.api_version)
        return None

    async def hand_over(self, target: StudioTarget, lines: AsyncIterable[bytes]) -> None:
        raise StudioFailed("NotSupported", "Azure Machine Learning does not accept labels for text projects.")

    async def marker(self, target: StudioTarget) -> str:
        return ""

    async def begin_export(self, target: StudioTarget) -> Export:
        path = f"{self._path(target)}/exportLabels"
        answer = await self._arm.post(path, self._options.api_version, {"format": "Dataset"})
        note = {"asset": _asset(answer.body), "poll": answer.location, "rows": _rows(answer.body)}
        return Export(json.dumps(note), _exporting(answer) if answer.retry_after else None)

    async def export(self, target: StudioTarget, note: str) -> Exported | Waiting:
        begun = json.loads(note)
        asset, rows = begun["asset"], begun.get("rows", 0)
        if not asset and begun["poll"]:
            answer = await self._arm.poll(begun["poll"])
            if answer.status == 202:
                return _exporting(answer)
            asset, rows = _asset(answer.body), _rows(answer.body)
        if not asset:
            raise StudioFailed("ExportFailed", "The export of Azure Machine Learning named no dataset.")
        container, folder = await self._folder(target, asset)
        files = await self._files(container, folder)
        if rows and not files:
            raise StudioFailed("ExportFailed", f"The dataset '{asset}' has {rows} rows but no label files.")
        return Exported(tuple((container, name) for name in files))

    async def _files(self, container: str, folder: str) -> list[str]:
        """The label files of an export, whose URI may be percent-encoded."""
        for prefix in dict.fromkeys((folder, unquote(folder))):
            names = [name async for name in self._blobs.names(container, prefix) if name.endswith(".jsonl")]
            if names:
                return sorted(names, key=_natural)
        return []

    async def completed(self, target: StudioTarget) -> int | None:
        metrics: Any = (await self._get(target))["properties"].get("progressMetrics") or {}
        return int(metrics.get("completedDatapointCount", 0))

    async def require_may_switch(self, target: StudioTarget, caller: AsyncTokenCredential | None) -> None:
        if caller is None:
            message = (
                "Switching back requires a bearer token: the caller's permission on the workspace is checked."
            )
            raise Forbidden(message, inner_code="BearerTokenNeeded")
        if not await may_write_labeling(self._arm, caller, target.binding.workspace):
            message = "The caller needs the permission labeling/projects/write on the workspace."
            raise Forbidden(message, inner_code="NoRightOnWorkspace")

    def _path(self, target: StudioTarget) -> str:
        return f"{target.binding.workspace}/labelingJobs/{target.binding.name}"

    async def _find(self, target: StudioTarget) -> LabelingJob | None:
        answer = await self._arm.get(self._path(target), self._options.api_version)
        return answer.body if answer else None

    async def _get(self, target: StudioTarget) -> LabelingJob:
        job = await self._find(target)
        if job is None:
            raise StudioFailed(
                "NotFound", f"The labeling project '{target.binding.name}' does not exist in the workspace."
            )
        return job

    async def _make_data(self, target: StudioTarget) -> None:
        """Create what a labeling job refers to: the container as a datastore, and a data asset in it."""
        name, workspace = self.datastore(target), target.binding.workspace
        version = self._options.api_version
        default = await self._arm.get(f"{workspace}/datastores/{DEFAULT_DATASTORE}", version)
        store = {
            "datastoreType": "AzureBlob",
            "accountName": self._options.account,
            "containerName": target.container,
            "protocol": "https",
            "credentials": {"credentialsType": "None"},
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        }
        endpoint = default.body["properties"].get("endpoint") if default else None
        if endpoint:  # the storage suffix, which differs between the Azure clouds
            store["endpoint"] = endpoint
        await self._arm.put(f"{workspace}/datastores/{name}", version, {"properties": store})
        asset = {
            "dataType": "uri_folder",
            "dataUri": f"{_long_uri(workspace)}/datastores/{name}/paths/",
            "description": "Documents labeled with Labelbridge",
        }
        if await self._arm.get(f"{workspace}/data/{name}/versions/1", version) is None:
            await self._arm.put(f"{workspace}/data/{name}/versions/1", version, {"properties": asset})

    async def _folder(self, target: StudioTarget, asset: str) -> tuple[str, str]:
        """(container, folder) of a data asset, whose datastore must be in our storage account."""
        workspace, version = target.binding.workspace, self._options.api_version
        name, _, number = asset.partition(":")
        if not number:
            data = await self._must(f"{workspace}/data/{name}")
            number = str(data["properties"].get("latestVersion", "1"))
        data = await self._must(f"{workspace}/data/{name}/versions/{number}")
        match = re.search(r"datastores/([^/]+)/paths/(.*)", str(data["properties"].get("dataUri", "")))
        if match is None:
            raise StudioFailed("ExportFailed", f"The data asset '{asset}' is not in a datastore.")
        store = (await self._must(f"{workspace}/datastores/{match[1]}", version))["properties"]
        if str(store.get("accountName", "")).lower() != self._options.account.lower():
            raise StudioFailed("ExportFailed", f"The datastore '{match[1]}' is not in this storage account.")
        return str(store["containerName"]), match[2]

    async def _must(self, path: str, version: str | None = None) -> Mapping[str, Any]:
        answer = await self._arm.get(path, version or self._options.api_version)
        if answer is None:
            raise StudioFailed("ExportFailed", f"The resource '{path}' does not exist.")
        return answer.body


def _exporting(answer: Answer) -> Waiting:
    seconds = ASK_AGAIN if answer.retry_after is None else answer.retry_after
    return Waiting(seconds, "Waiting for Azure Machine Learning to export the labels.")


def _long_uri(workspace: str) -> str:
    """The URI of a workspace as Microsoft's own clients write it: without the resource provider."""
    parsed = parse_workspace_id(workspace)
    if parsed is None:
        raise StudioFailed("InvalidRequest", f"'{workspace}' is not the resource ID of a workspace.")
    group = f"subscriptions/{parsed.subscription}/resourcegroups/{parsed.group}"
    return f"azureml://{group}/workspaces/{parsed.workspace}"


def _rows(body: Mapping[str, Any]) -> int:
    rows = body.get("exportedRowCount")
    return rows if isinstance(rows, int) else 0


def _asset(body: Mapping[str, Any]) -> str:
    return str(
        body.get("labeledAssetName")
        or cast("Mapping[str, Any]", body.get("properties") or {}).get("labeledAssetName")
        or ""
    )


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """`x_2` before `x_10`."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name))
