"""The labeling project that a project is bound to, and its permanent identity."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.domain.names import container_error

_WORKSPACE: Final = re.compile(
    r"/?subscriptions/(?P<subscription>[0-9a-f-]{36})/resourcegroups/(?P<group>[\w().-]{1,90})"
    r"/providers/microsoft\.machinelearningservices/workspaces/(?P<workspace>[a-z0-9][a-z0-9_-]{1,32})/*"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
LABELS_FILE: Final = "labels.jsonl"
#: The last version of the Azure Resource Manager API that has labeling jobs.
LABELING_API_VERSION: Final = "2024-04-01-preview"
#: The versions that have labeling jobs, by the published specifications.
LABELING_API_VERSIONS: Final = (
    "2020-09-01-preview",
    "2021-03-01-preview",
    "2022-06-01-preview",
    "2022-10-01-preview",
    "2022-12-01-preview",
    "2023-02-01-preview",
    "2023-04-01-preview",
    "2023-06-01-preview",
    "2023-08-01-preview",
    "2024-01-01-preview",
    LABELING_API_VERSION,
)


class StudioKind(StrEnum):
    """Where the other studio keeps its labels: an Azure Machine Learning (AML) workspace, or a file in a
    container that any tool can write.
    """

    AZURE_ML = "azure-ml"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class WorkspaceId:
    """The parts of a workspace's resource ID, in lower case: Azure Resource Manager ignores case."""

    subscription: str
    group: str
    workspace: str

    @property
    def path(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
        )


def parse_workspace_id(text: str) -> WorkspaceId | None:
    """A workspace's resource ID in any case, with or without slashes at its ends; None if it is invalid."""
    match = _WORKSPACE.fullmatch(text.strip().casefold())
    return WorkspaceId(match["subscription"], match["group"], match["workspace"]) if match else None


@dataclass(frozen=True, slots=True)
class Binding:
    """One labeling project. `workspace_id`: the resource ID of a workspace, or a container for `workspace`."""

    studio: StudioKind
    workspace_id: str
    name: str
    vendor: str | None = None
    instructions: str | None = None

    @property
    def workspace(self) -> str:
        """`workspace_id`, normalized."""
        if self.studio is StudioKind.WORKSPACE:
            return self.workspace_id
        parsed = parse_workspace_id(self.workspace_id)
        return parsed.path if parsed else self.workspace_id

    @property
    def key(self) -> str:
        """Identity of the labeling project, the same for every spelling; names its tombstone. 40 hex digits."""
        parts = (self.studio.value, self.workspace.casefold(), self.name.casefold())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]

    @property
    def path(self) -> str:
        """`settings.amlProjectPath` of the project."""
        if self.studio is StudioKind.WORKSPACE:
            return f"{self.workspace_id}/{self.name}/{LABELS_FILE}"
        return f"{self.workspace}/labelingJobs/{self.name}"


def binding_errors(binding: Binding) -> list[tuple[str, str]]:
    """(field, message) of everything that is invalid."""
    errors: list[tuple[str, str]] = []
    if binding.studio is StudioKind.WORKSPACE:
        if wrong := container_error(binding.workspace_id):
            errors.append(
                ("workspaceId", f"For the studio 'workspace' it is the name of a container. {wrong}")
            )
    elif parse_workspace_id(binding.workspace_id) is None:
        provider = "Microsoft.MachineLearningServices/workspaces/{name}"
        form = f"/subscriptions/{{id}}/resourceGroups/{{group}}/providers/{provider}"
        errors.append(("workspaceId", f"It must be the resource ID of a workspace: {form}"))
    if not _NAME.fullmatch(binding.name):
        rule = "1 to 255 characters (A-Z, a-z, 0-9, '_', '-') and starts with a letter or digit."
        errors.append(("amlProjectName", f"The name of a labeling project has {rule}"))
    return errors
