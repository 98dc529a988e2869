"""The real client of Azure Machine Learning against a fake Azure Resource Manager."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from shared.connection.binding import Binding, StudioKind
from shared.connection.studios.arm import Arm, ArmOptions
from shared.connection.studios.azure_ml import AzureMlOptions, AzureMlStudio
from shared.connection.studios.base import LabelBlobs, StudioTarget
from shared.domain.names import ProjectKind
from tests.fakes.arm import STORAGE, FakeArm, workspace_id
from tests.fakes.entra import StaticToken
from tests.fakes.server import serve
from tests.support.storage.label_tool import LabelTool
from tests.support.storage.memory import MemoryStorage

BINDING = Binding(StudioKind.AZURE_ML, workspace_id(), "news")
TARGET = StudioTarget(
    BINDING,
    "incarnation",
    "p",
    ProjectKind.SINGLE_LABEL,
    "docs",
    ("A", "B"),
    sequence=1,
    closed_sequence=0,
    previous_closed_sequence=0,
)


@dataclass
class World:
    arm: FakeArm
    client: Arm
    tool: LabelTool
    studio: AzureMlStudio

    def target(self, **changes: object) -> StudioTarget:
        return replace(TARGET, **changes)  # pyright: ignore[reportArgumentType]  # a test names fields that exist


@pytest.fixture
async def world() -> AsyncIterator[World]:
    tool = LabelTool(MemoryStorage().blobs)
    arm = FakeArm(tool.put)
    arm.grant()
    async with serve(arm.app()) as address:
        arm.address = address
        options = ArmOptions(endpoint=address, timeout=0.5, retries=3, backoff=0.01, longest_wait=0.05)
        client = Arm(StaticToken("app"), options)
        studio = AzureMlStudio(client, LabelBlobs(tool.blobs), AzureMlOptions(STORAGE))
        yield World(arm, client, tool, studio)
        await client.close()
