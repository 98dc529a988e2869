"""The studio `workspace`: one file, one lease, and turns: a late step opens no newer lock."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.domain.bond import Bond, StudioKind
from shared.domain.errors import Unavailable
from shared.domain.kinds import ProjectKind
from shared.studios.base import Exported, Site, StudioFailed, Waiting
from shared.studios.workspace import WorkspaceStudio
from tests.fakes.label_blobs import FakeLabelBlobs

FILE = "news/labels.jsonl"
BOND = Bond(StudioKind.WORKSPACE, "labeling", "news")
SITE = Site(BOND, "i", "p", ProjectKind.SINGLE_LABEL, "docs", ("A", "B"), turn=1, closed=1, reclosed=0)


@pytest.fixture
def blobs() -> FakeLabelBlobs:
    return FakeLabelBlobs("labeling")


@pytest.fixture
def studio(blobs: FakeLabelBlobs) -> WorkspaceStudio:
    return WorkspaceStudio(blobs)


async def lines(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


def at(closed: int, reclosed: int = 0) -> Site:
    return replace(SITE, turn=closed, closed=closed, reclosed=reclosed)


async def unmet(studio: WorkspaceStudio, site: Site = SITE) -> list[str]:
    return [c.code for c in await studio.conditions(site) if not c.met]


async def test_conditions(studio: WorkspaceStudio, blobs: FakeLabelBlobs) -> None:
    assert await unmet(studio) == []
    await blobs.put("labeling", FILE, b"")
    assert await unmet(studio) == [], "an empty file is nobody's work"
    await blobs.put("labeling", FILE, b"{}\n")
    assert await unmet(studio) == ["NameIsFree"]
    assert await unmet(studio, replace(SITE, bond=replace(BOND, workspace_id="none"))) == ["ContainerExists"]


async def test_create_never_writes_over_a_file(studio: WorkspaceStudio, blobs: FakeLabelBlobs) -> None:
    assert await studio.create(SITE) is None
    assert await studio.create(SITE) is None
    await blobs.put("labeling", FILE, b"{}\n")
    with pytest.raises(StudioFailed, match="somebody else"):
        await studio.create(SITE)
    assert blobs.containers["labeling"][FILE].data == b"{}\n"


async def test_closed_means_that_no_tool_can_write(studio: WorkspaceStudio, blobs: FakeLabelBlobs) -> None:
    await studio.create(SITE)
    for _ in range(2):
        assert await studio.close(SITE) is None
    with pytest.raises(Unavailable):
        await blobs.put("labeling", FILE, b"x")
    await studio.hand_over(SITE, lines(b"a\n", b"b\n"))
    assert blobs.containers["labeling"][FILE].data == b"a\nb\n"
    for _ in range(2):
        assert await studio.open(SITE) is None
    await blobs.put("labeling", FILE, b"x")


async def test_a_late_step_of_an_older_turn_opens_nothing(
    studio: WorkspaceStudio, blobs: FakeLabelBlobs
) -> None:
    await studio.create(SITE)
    await studio.close(at(1))
    await studio.open(at(1))
    await studio.close(at(3, 1))
    await studio.open(at(1))
    assert blobs.containers["labeling"][FILE].lease is not None
    await studio.close(at(4, 3))
    await studio.open(at(3, 1))
    assert blobs.containers["labeling"][FILE].lease is not None, "closed again over our own older lease"
    await studio.open(at(4, 3))
    assert blobs.containers["labeling"][FILE].lease is None


async def test_a_tool_that_holds_a_lease_is_waited_for(
    studio: WorkspaceStudio, blobs: FakeLabelBlobs
) -> None:
    await studio.create(SITE)
    await blobs.lease("labeling", FILE, "a tool")
    assert isinstance(await studio.close(SITE), Waiting)
    await studio.open(SITE)
    assert blobs.containers["labeling"][FILE].lease == "a tool"


async def test_a_file_that_is_gone_is_told(studio: WorkspaceStudio, blobs: FakeLabelBlobs) -> None:
    for call in (studio.close, studio.marker):
        with pytest.raises(StudioFailed, match="deleted"):
            await call(SITE)
    with pytest.raises(StudioFailed, match="deleted"):
        await studio.export(SITE, "")
    assert await studio.release(SITE) is None


async def test_release_keeps_the_labels_and_shuts_for_ever(
    studio: WorkspaceStudio, blobs: FakeLabelBlobs
) -> None:
    await studio.create(SITE)
    await blobs.put("labeling", FILE, b"{}\n")
    assert await studio.release(at(7)) is None
    blob = blobs.containers["labeling"][FILE]
    assert blob.data == b"{}\n"
    assert blob.lease is not None


async def test_withdraw_leaves_the_name_as_it_was(studio: WorkspaceStudio, blobs: FakeLabelBlobs) -> None:
    await studio.create(SITE)
    await studio.close(SITE)
    assert await studio.withdraw(SITE) is None
    assert await studio.withdraw(SITE) is None
    assert blobs.containers["labeling"] == {}
    await blobs.put("labeling", FILE, b"somebody's\n")
    await studio.withdraw(SITE)
    assert blobs.containers["labeling"][FILE].data == b"somebody's\n"


async def test_the_marker_changes_with_the_labels(studio: WorkspaceStudio, blobs: FakeLabelBlobs) -> None:
    await studio.create(SITE)
    first = await studio.marker(SITE)
    await studio.close(SITE)
    assert await studio.marker(SITE) == first
    await studio.open(SITE)
    await blobs.put("labeling", FILE, b"{}\n")
    assert await studio.marker(SITE) != first
    assert await studio.export(SITE, await studio.begin_export(SITE)) == Exported((("labeling", FILE),))
    assert await studio.completed(SITE) is None
    await studio.require_may_switch(SITE, None)


async def test_vendor_and_instructions_are_said_to_be_unsupported(studio: WorkspaceStudio) -> None:
    bond = replace(BOND, vendor="v", instructions="i")
    assert [w.target for w in studio.warnings(replace(SITE, bond=bond))] == ["vendor", "instructions"]
    assert studio.warnings(SITE) == []
