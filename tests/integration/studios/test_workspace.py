"""The studio `workspace`: a file and its lease, which a late step of an older saga never releases."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from shared.connection.binding import Binding, StudioKind
from shared.connection.studios.base import Exported, LabelBlobs, StudioFailed, StudioTarget, Waiting
from shared.connection.studios.workspace import WorkspaceStudio
from shared.domain.names import ProjectKind
from shared.storage.gateways.ports import BlobLeased
from tests.support.storage.label_tool import LabelTool
from tests.support.storage.memory import MemoryStorage

FILE = "news/labels.jsonl"
BINDING = Binding(StudioKind.WORKSPACE, "labeling", "news")
TARGET = StudioTarget(
    BINDING,
    "i",
    "p",
    ProjectKind.SINGLE_LABEL,
    "docs",
    ("A", "B"),
    sequence=1,
    closed_sequence=1,
    previous_closed_sequence=0,
)


@pytest.fixture
async def tool() -> LabelTool:
    blobs = MemoryStorage().blobs
    await blobs.create_container("labeling")
    return LabelTool(blobs)


@pytest.fixture
def studio(tool: LabelTool) -> WorkspaceStudio:
    return WorkspaceStudio(LabelBlobs(tool.blobs))


async def lines(*data: bytes) -> AsyncIterator[bytes]:
    for line in data:
        yield line


def at(closed: int, before: int = 0) -> StudioTarget:
    """The target in the saga that closed the studio, `before` the saga that closed it earlier."""
    return replace(TARGET, sequence=closed, closed_sequence=closed, previous_closed_sequence=before)


async def unmet(studio: WorkspaceStudio, target: StudioTarget = TARGET) -> list[str]:
    return [c.code for c in await studio.conditions(target) if not c.met]


async def test_conditions(studio: WorkspaceStudio, tool: LabelTool) -> None:
    assert await unmet(studio) == []
    await tool.put("labeling", FILE, b"")
    assert await unmet(studio) == [], "an empty file holds no labels"
    await tool.put("labeling", FILE, b"{}\n")
    assert await unmet(studio) == ["NameIsFree"]
    assert await unmet(studio, replace(TARGET, binding=replace(BINDING, workspace_id="none"))) == [
        "ContainerExists"
    ]


async def test_create_never_writes_over_a_file(studio: WorkspaceStudio, tool: LabelTool) -> None:
    assert await studio.create(TARGET) is None
    assert await studio.create(TARGET) is None
    await tool.put("labeling", FILE, b"{}\n")
    with pytest.raises(StudioFailed, match="another tool"):
        await studio.create(TARGET)
    assert await tool.data("labeling", FILE) == b"{}\n"


async def test_closed_means_that_no_tool_can_write(studio: WorkspaceStudio, tool: LabelTool) -> None:
    await studio.create(TARGET)
    for _ in range(2):
        assert await studio.close(TARGET) is None
    with pytest.raises(BlobLeased):
        await tool.put("labeling", FILE, b"x")
    await studio.hand_over(TARGET, lines(b"a\n", b"b\n"))
    assert await tool.data("labeling", FILE) == b"a\nb\n"
    for _ in range(2):
        assert await studio.open(TARGET) is None
    await tool.put("labeling", FILE, b"x")


async def test_a_late_step_of_an_older_saga_has_no_effect(studio: WorkspaceStudio, tool: LabelTool) -> None:
    await studio.create(TARGET)
    await studio.close(at(1))
    await studio.open(at(1))
    await studio.close(at(3, 1))
    await studio.open(at(1))
    assert await tool.leased("labeling", FILE)
    await studio.close(at(4, 3))
    await studio.open(at(3, 1))
    assert await tool.leased("labeling", FILE), "closed again over our own older lease"
    await studio.open(at(4, 3))
    assert not await tool.leased("labeling", FILE)


async def test_a_tool_that_holds_a_lease_is_waited_for(studio: WorkspaceStudio, tool: LabelTool) -> None:
    await studio.create(TARGET)
    lease = str(uuid4())
    await tool.blobs.acquire_lease("labeling", FILE, lease)
    assert isinstance(await studio.close(TARGET), Waiting)
    await studio.open(TARGET)
    with pytest.raises(BlobLeased):
        await tool.put("labeling", FILE, b"x")
    await tool.blobs.write("labeling", FILE, b"x", lease=lease)


async def test_a_deleted_file_is_reported(studio: WorkspaceStudio, tool: LabelTool) -> None:
    for call in (studio.close, studio.marker):
        with pytest.raises(StudioFailed, match="deleted"):
            await call(TARGET)
    with pytest.raises(StudioFailed, match="deleted"):
        await studio.export(TARGET, "")
    assert await studio.release(TARGET) is None


async def test_release_keeps_the_labels_and_closes_permanently(
    studio: WorkspaceStudio, tool: LabelTool
) -> None:
    await studio.create(TARGET)
    await tool.put("labeling", FILE, b"{}\n")
    assert await studio.release(at(7)) is None
    assert await tool.data("labeling", FILE) == b"{}\n"
    assert await tool.leased("labeling", FILE)


async def test_withdraw_leaves_the_name_as_it_was(studio: WorkspaceStudio, tool: LabelTool) -> None:
    await studio.create(TARGET)
    await studio.close(TARGET)
    assert await studio.withdraw(TARGET) is None
    assert await studio.withdraw(TARGET) is None
    assert await tool.blobs.stat("labeling", FILE) is None
    await tool.put("labeling", FILE, b"someone's\n")
    await studio.withdraw(TARGET)
    assert await tool.data("labeling", FILE) == b"someone's\n"


async def test_the_marker_changes_with_the_labels(studio: WorkspaceStudio, tool: LabelTool) -> None:
    await studio.create(TARGET)
    first = await studio.marker(TARGET)
    await studio.close(TARGET)
    assert await studio.marker(TARGET) == first
    await studio.open(TARGET)
    await tool.put("labeling", FILE, b"{}\n")
    assert await studio.marker(TARGET) != first
    assert await studio.export(TARGET, (await studio.begin_export(TARGET)).note) == Exported(
        (("labeling", FILE),)
    )
    assert await studio.completed(TARGET) is None
    await studio.require_may_switch(TARGET, None)


async def test_vendor_and_instructions_are_reported_as_unsupported(studio: WorkspaceStudio) -> None:
    binding = replace(BINDING, vendor="v", instructions="i")
    assert [w.target for w in studio.warnings(replace(TARGET, binding=binding))] == ["vendor", "instructions"]
    assert studio.warnings(TARGET) == []
