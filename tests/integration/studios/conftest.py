"""The real client of Azure Machine Learning against a fake Azure Resource Manager."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from shared.domain.bond import Bond, StudioKind
from shared.domain.kinds import ProjectKind
from shared.studios.arm import Arm, ArmOptions
from shared.studios.azure_ml import AzureMlOptions, AzureMlStudio
from shared.studios.base import Site
from tests.fakes.arm import STORAGE, FakeArm, workspace_id
from tests.fakes.entra import StaticToken
from tests.fakes.label_blobs import FakeLabelBlobs
from tests.fakes.server import serve

BOND = Bond(StudioKind.AZURE_ML, workspace_id(), "news")
SITE = Site(
    BOND, "incarnation", "p", ProjectKind.SINGLE_LABEL, "docs", ("A", "B"), turn=1, closed=0, reclosed=0
)


@dataclass
class World:
    arm: FakeArm
    client: Arm
    blobs: FakeLabelBlobs
    studio: AzureMlStudio

    def site(self, **changes: object) -> Site:
        return replace(SITE, **changes)  # pyright: ignore[reportArgumentType]  # a test names fields that exist


@pytest.fixture
async def world() -> AsyncIterator[World]:
    blobs = FakeLabelBlobs("docs")
    arm = FakeArm(blobs.put)
    arm.grant()
    async with serve(arm.app()) as address:
        arm.address = address
        options = ArmOptions(endpoint=address, timeout=0.5, retries=3, backoff=0.01, longest_wait=0.05)
        client = Arm(StaticToken("app"), options)
        yield World(arm, client, blobs, AzureMlStudio(client, blobs, AzureMlOptions(STORAGE)))
        await client.close()
