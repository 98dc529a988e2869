"""The connection with labeling studios, put together from settings."""

from dataclasses import dataclass

from azure.core.credentials_async import AsyncTokenCredential

from shared.domain.bond import StudioKind
from shared.services.connection import ConnectionService
from shared.services.jobs import JobService
from shared.services.stores import Stores
from shared.storage.connections import ConnectionStore
from shared.storage.gateways.ports import Table
from shared.storage.label_blobs import LabelBlobs
from shared.studios.arm import ENDPOINT, Arm, ArmOptions
from shared.studios.azure_ml import API_VERSION, AzureMlOptions, AzureMlStudio
from shared.studios.base import LabelingStudio
from shared.studios.workspace import WorkspaceStudio
from shared.wire.aml_jsonl import OffsetUnit


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """`storage_account_id`: resource id of our storage account; empty: the studio `azure-ml` is not offered."""

    storage_account_id: str = ""
    aml_api_version: str = API_VERSION
    aml_offset_unit: OffsetUnit = OffsetUnit.UTF16
    arm_endpoint: str = ENDPOINT


def connection_service(
    stores: Stores,
    table: Table,
    jobs: JobService,
    options: ConnectionOptions,
    identity: AsyncTokenCredential | None = None,
) -> ConnectionService:
    """`table`: table `connections`. `identity`: of the app, towards Azure Resource Manager."""
    blobs = LabelBlobs(stores.blobs)
    studios: dict[StudioKind, LabelingStudio] = {StudioKind.WORKSPACE: WorkspaceStudio(blobs)}
    if options.storage_account_id and identity is not None:
        arm = Arm(identity, ArmOptions(options.arm_endpoint, f"{options.arm_endpoint}/.default"))
        aml = AzureMlOptions(options.storage_account_id, options.aml_api_version)
        studios[StudioKind.AZURE_ML] = AzureMlStudio(arm, blobs, aml)
    connections = ConnectionStore(table, stores.blobs, f"{stores.names.prefix}-tombstones")
    return ConnectionService(stores, connections, studios, jobs, options.aml_offset_unit)
