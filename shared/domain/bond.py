"""The Azure Machine Learning (AML) labeling project that a project is bound to, and its lasting identity."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.domain.names import container_fault

_WORKSPACE: Final = re.compile(
    r"/?subscriptions/(?P<subscription>[0-9a-f-]{36})/resourcegroups/(?P<group>[\w().-]{1,90})"
    r"/providers/microsoft\.machinelearningservices/workspaces/(?P<workspace>[a-z0-9][a-z0-9_-]{1,32})/*"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
LABELS_FILE: Final = "labels.jsonl"


class StudioKind(StrEnum):
    """What keeps the other side: an AML workspace, or a file in a blob container that any tool can write."""

    AZURE_ML = "azure-ml"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class WorkspaceId:
    """The parts of a workspace's resource id, in lower case: Azure Resource Manager compares without case."""

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
    """A workspace's resource id in any case, with or without slashes at its ends; None if it is none."""
    match = _WORKSPACE.fullmatch(text.strip().casefold())
    return WorkspaceId(match["subscription"], match["group"], match["workspace"]) if match else None


@dataclass(frozen=True, slots=True)
class Bond:
    """One AML labeling project. `workspace_id`: a workspace's resource id, or a container for `workspace`."""

    studio: StudioKind
    workspace_id: str
    name: str
    vendor: str | None = None
    instructions: str | None = None

    @property
    def workspace(self) -> str:
        """`workspace_id` in the one spelling that all its spellings share."""
        if self.studio is StudioKind.WORKSPACE:
            return self.workspace_id
        parsed = parse_workspace_id(self.workspace_id)
        return parsed.path if parsed else self.workspace_id

    @property
    def key(self) -> str:
        """Identity of the AML project, the same for every spelling: what a tombstone bears. 40 hex digits."""
        parts = (self.studio.value, self.workspace.casefold(), self.name.casefold())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]

    @property
    def path(self) -> str:
        """`settings.amlProjectPath` of the project."""
        if self.studio is StudioKind.WORKSPACE:
            return f"{self.workspace_id}/{self.name}/{LABELS_FILE}"
        return f"{self.workspace}/labelingJobs/{self.name}"


def bond_faults(bond: Bond) -> list[tuple[str, str]]:
    """(field, what is wrong) of everything that is badly spelled."""
    faults: list[tuple[str, str]] = []
    if bond.studio is StudioKind.WORKSPACE:
        if fault := container_fault(bond.workspace_id):
            faults.append(("workspaceId", f"For the studio 'workspace' it is a container. {fault}"))
    elif parse_workspace_id(bond.workspace_id) is None:
        provider = "Microsoft.MachineLearningServices/workspaces/{name}"
        form = f"/subscriptions/{{id}}/resourceGroups/{{group}}/providers/{provider}"
        faults.append(("workspaceId", f"It is the resource id of a workspace: {form}"))
    if not _NAME.fullmatch(bond.name):
        rule = "1 to 255 characters of A-Z, a-z, 0-9, '_' and '-', the first a letter or digit."
        faults.append(("amlProjectName", f"The name of an AML labeling project has {rule}"))
    return faults
