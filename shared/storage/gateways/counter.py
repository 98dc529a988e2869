"""Counts calls to storage, so that tests and benches can assert what a use case costs."""

from collections import Counter
from typing import Literal

type Service = Literal["table", "blob", "queue"]
type Snapshot = dict[tuple[Service, str], int]


class CallCounter:
    """One count for each HTTP request that the SDK sends when nothing has to be repeated."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Service, str]] = Counter()

    def add(self, service: Service, operation: str) -> None:
        """Count one request."""
        self._counts[service, operation] += 1

    @property
    def total(self) -> int:
        """All requests so far."""
        return self._counts.total()

    def snapshot(self) -> Snapshot:
        """The counts so far, to be handed to `since`."""
        return dict(self._counts)

    def since(self, snapshot: Snapshot) -> Snapshot:
        """What was counted after `snapshot` was taken; operations that were not called are left out."""
        return dict(self._counts - Counter(snapshot))
