"""Text records that an engine took in a month of UTC, for a project: used, and reserved by jobs that run (rule A7)."""

from dataclasses import dataclass, replace
from datetime import datetime

from shared.storage import keys, packing
from shared.storage.gateways.ports import Insert, Operation, Replace, Table


@dataclass(frozen=True, slots=True)
class Usage:
    """The row of a month; `etag` empty: there is none yet."""

    engine: str
    month: str
    used: int = 0
    reserved: int = 0
    etag: str = ""

    def reserve(self, records: int) -> "Usage":
        return replace(self, reserved=self.reserved + records)

    def settle(self, reserved: int, used: int) -> "Usage":
        return replace(self, reserved=max(0, self.reserved - reserved), used=self.used + used)

    def operation(self) -> Operation:
        """To be committed with the job that reserves or settles, so that it counts exactly once."""
        key, values = (
            keys.usage(self.engine, self.month),
            {"v": 1, "used": self.used, "reserved": self.reserved},
        )
        return Replace(key, values, self.etag) if self.etag else Insert(key, values)


class UsageStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def read(self, incarnation: str, engine: str, month: str) -> Usage:
        row = await self._table.get(incarnation, keys.usage(engine, month))
        if row is None:
            return Usage(engine, month)
        used, reserved = packing.integer(row.values, "used"), packing.integer(row.values, "reserved")
        return Usage(engine, month, used, reserved, row.etag)


def month_of(moment: datetime) -> str:
    return f"{moment:%Y-%m}"
