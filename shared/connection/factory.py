"""Builds the connection service and its studios from settings."""

from dataclasses import dataclass

from azure.core.credentials_async import AsyncTokenCredential

from shared.connection.binding import LABELING_API_VERSION, StudioKind
from shared.connection.service import ConnectionService
from shared.connection.store import ConnectionStore
from shared.connection.studios.arm import ENDPOINT, Arm, ArmOptions
from shared.connection.studios.azure_ml import AzureMlOptions, AzureMlStudio
from shared.connection.studios.base import LabelBlobs, LabelingStudio
from shared.connection.studios.workspace import WorkspaceStudio
from shared.services.jobs.lifecycle import JobService
from shared.services.jobs.stores import Stores
from shared.storage.gateways.ports import Table
from shared.wire.aml_jsonl import OffsetUnit


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """`storage_account_id`: resource ID of our storage account; empty: no studio `azure-ml`."""

    storage_account_id: str = ""
    aml_api_version: str = LABELING_API_VERSION
    aml_offset_unit: OffsetUnit = OffsetUnit.CODE_POINT
    arm_endpoint: str = ENDPOINT


def connection_service(
    stores: Stores,
    table: Table,
    jobs: JobService,
    options: ConnectionOptions,
    identity: AsyncTokenCredential | None = None,
) -> ConnectionService:
    """`table`: table `connections`. `identity` of the app for Azure Resource Manager."""
    blobs = LabelBlobs(stores.blobs)
    studios: dict[StudioKind, LabelingStudio] = {StudioKind.WORKSPACE: WorkspaceStudio(blobs)}
    if options.storage_account_id and identity is not None:
        arm = Arm(identity, ArmOptions(options.arm_endpoint, f"{options.arm_endpoint}/.default"))
        aml = AzureMlOptions(options.storage_account_id, options.aml_api_version)
        studios[StudioKind.AZURE_ML] = AzureMlStudio(arm, blobs, aml)
    outbox = stores.outboxes.of_connections(table)
    connections = ConnectionStore(table, stores.blobs, f"{stores.names.prefix}-tombstones", outbox)
    return ConnectionService(stores, connections, studios, jobs, options.aml_offset_unit)
