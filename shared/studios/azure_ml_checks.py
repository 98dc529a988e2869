"""What is asked of Azure before a project is connected with an AML workspace, and of a caller who switches
back.
"""

import asyncio
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from azure.core.credentials_async import AsyncTokenCredential

from shared.domain.conditions import Condition
from shared.studios.arm import Arm

WORKSPACE_VERSION: Final = "2024-04-01"
AUTHORIZATION_VERSION: Final = "2022-04-01"
#: Built-in role Storage Blob Data Contributor.
CONTRIBUTOR: Final = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
#: No source states which action gates switching; the Team Lead role, who may not, lacks just this one.
SWITCH_ACTION: Final = "microsoft.machinelearningservices/workspaces/labeling/projects/write"


async def workspace_conditions(arm: Arm, workspace: str, storage_account_id: str) -> list[Condition]:
    """In this order: subscription and workspace, its storage account, its identity's role on it."""
    if _subscription(workspace) != _subscription(storage_account_id):
        message = "The workspace is not in the subscription of this storage account."
        return [Condition("WorkspaceExists", False, message, "workspaceId")]
    answer = await arm.get(workspace, WORKSPACE_VERSION)
    if answer is None:
        return [Condition("WorkspaceExists", False, f"Azure has no workspace '{workspace}'.", "workspaceId")]
    properties = cast("Mapping[str, Any]", answer.body.get("properties") or {})
    same = _same_id(str(properties.get("storageAccount", "")), storage_account_id)
    text = "The workspace uses this storage account."
    if not same:
        text = "The workspace uses another storage account; it is chosen when a workspace is created."
    return [
        Condition("WorkspaceExists", True, "The workspace exists.", "workspaceId"),
        Condition("SameStorageAccount", same, text, "workspaceId"),
        await _identity_condition(arm, answer.body, storage_account_id),
    ]


async def _identity_condition(arm: Arm, workspace: Mapping[str, Any], storage_account_id: str) -> Condition:
    principals = _principals(workspace)
    granted = await asyncio.gather(*(_has_role(arm, one, storage_account_id) for one in principals))
    met = any(granted)
    message = "The workspace's identity is Storage Blob Data Contributor on the storage account."
    if not principals:
        message = (
            "The workspace has no managed identity; give it one, with the role Storage Blob Data Contributor."
        )
    elif not met:
        message = (
            "Give the workspace's identity the role Storage Blob Data Contributor on the storage account."
        )
    return Condition("IdentityHasRole", met, message, "workspaceId")


def _principals(workspace: Mapping[str, Any]) -> list[str]:
    """The system-assigned identity and the user-assigned ones."""
    identity = cast("Mapping[str, Any]", workspace.get("identity") or {})
    others = cast("Mapping[str, Mapping[str, Any]]", identity.get("userAssignedIdentities") or {})
    found = [identity.get("principalId"), *(one.get("principalId") for one in others.values())]
    return [str(principal) for principal in found if principal]


async def _has_role(arm: Arm, principal: str, scope: str) -> bool:
    """Assigned at the account or above; `assignedTo` counts what comes through groups."""
    path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
    rows = await arm.list(path, AUTHORIZATION_VERSION, {"$filter": f"assignedTo('{principal}')"})
    return any(_grants(cast("Mapping[str, Any]", row.get("properties") or {}), scope) for row in rows)


def _grants(assignment: Mapping[str, Any], scope: str) -> bool:
    role = str(assignment.get("roleDefinitionId", "")).lower().rsplit("/", 1)[-1]
    at = str(assignment.get("scope", "")).lower().rstrip("/")
    above = scope.lower().rstrip("/") == at or scope.lower().startswith(at + "/")
    return role == CONTRIBUTOR and above and not assignment.get("condition")


async def may_write_labeling(arm: Arm, caller: AsyncTokenCredential, workspace: str) -> bool:
    path = f"{workspace}/providers/Microsoft.Authorization/permissions"
    return allows(await arm.list_as(caller, path, AUTHORIZATION_VERSION), SWITCH_ACTION)


def allows(permissions: Sequence[Mapping[str, Any]], action: str) -> bool:
    """Whether one of the caller's roles has the action and does not take it away again (`notActions`)."""
    return any(
        _matches(one.get("actions"), action) and not _matches(one.get("notActions"), action)
        for one in permissions
    )


def _matches(patterns: Any, action: str) -> bool:
    names = cast("Sequence[str]", patterns or ())
    return any(fnmatch.fnmatchcase(action.lower(), name.lower()) for name in names)


def _same_id(left: str, right: str) -> bool:
    return left.strip().strip("/").lower() == right.strip().strip("/").lower()


def _subscription(resource_id: str) -> str:
    parts = resource_id.strip("/").lower().split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "subscriptions" else ""
