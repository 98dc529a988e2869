"""What a connection asks of the other studio. Every call may be repeated; a repeat finds its own work and is
content.

Raises `shared.domain.errors.Unavailable` when trying again may help, `StudioFailed` when it cannot.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Protocol

from azure.core.credentials_async import AsyncTokenCredential

from shared.domain.bond import Bond
from shared.domain.conditions import Condition
from shared.domain.jobs import JobError
from shared.domain.kinds import ProjectKind


class StudioFailed(Exception):
    """The studio refuses for good; `fault` says why, in words a person understands."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = JobError(code, message)


@dataclass(frozen=True, slots=True)
class Site:
    """One labeling project as its adapter needs to know it.

    `owner` is the incarnation of the project that it belongs to. `turn` numbers the operation under way,
    `closed` the one that last closed the studio and `reclosed` the one before that: what is left over of an
    older turn must not open what a newer one closed.
    """

    bond: Bond
    owner: str
    project: str
    kind: ProjectKind
    container: str
    categories: tuple[str, ...]
    turn: int
    closed: int
    reclosed: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet: ask again in `seconds`. `reason` is shown to people."""

    seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """Where exported labels lie in this storage account: (container, blob) in the order of reading."""

    files: tuple[tuple[str, str], ...]


class LabelingStudio(Protocol):
    @property
    def takes_labels(self) -> bool:
        """Whether labels can be handed over; where not, people there begin with none."""
        ...

    def warnings(self, site: Site) -> list[JobError]:
        """What of the request the studio cannot take: vendor, instructions, labels."""
        ...

    def datastore(self, site: Site) -> str:
        """The datastore that lines of its label file name."""
        ...

    async def conditions(self, site: Site) -> list[Condition]:
        """Everything on its side that must hold to connect (rule C2); changes nothing."""
        ...

    async def create(self, site: Site) -> Waiting | None:
        """Make the labeling project, or find the one that was made for this owner; None: it is there."""
        ...

    async def close(self, site: Site) -> Waiting | None:
        """Make sure that nobody can label there; None: that is so, and stays so until `open`."""
        ...

    async def open(self, site: Site) -> Waiting | None:
        """Let people label there."""
        ...

    async def release(self, site: Site) -> Waiting | None:
        """Close it for ever and leave no mark of ours; deletes nothing that anybody labeled."""
        ...

    async def withdraw(self, site: Site) -> Waiting | None:
        """Take back what `create` made, as far as the studio allows."""
        ...

    async def hand_over(self, site: Site, lines: AsyncIterable[bytes]) -> None:
        """Replace the labels there by these lines (only where `takes_labels`)."""
        ...

    async def marker(self, site: Site) -> str:
        """Changes whenever labels there change; "" where that cannot be told without an export."""
        ...

    async def begin_export(self, site: Site) -> str:
        """Start an export of all labels; the answer is for `export`."""
        ...

    async def export(self, site: Site, ticket: str) -> Exported | Waiting: ...

    async def completed(self, site: Site) -> int | None:
        """How many documents are labeled there; None where only the label file can tell."""
        ...

    async def require_may_switch(self, site: Site, caller: AsyncTokenCredential | None) -> None:
        """Raises Forbidden unless the caller may end labeling there (role rule of switching back)."""
        ...
