"""The use of an engine by a project in a month (UTC): text records, used and reserved by running jobs (rule A14), and
tokens and cost for services that are paid by the token.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import random

from shared.domain.text import NO_TOKENS, Tokens
from shared.storage.gateways.ports import (
    Insert,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Table,
    Value,
)
from shared.storage.rows import INDEX, int_of, key_range, rate_key, usage_key


@dataclass(frozen=True, slots=True)
class Usage:
    """The row of a month; `etag` empty: there is none yet. `cost` None: no job knew its prices."""

    engine: str
    month: str
    used: int = 0
    reserved: int = 0
    tokens: Tokens = NO_TOKENS
    cost: float | None = None
    etag: str = ""

    def reserve(self, records: int) -> "Usage":
        return replace(self, reserved=self.reserved + records)

    def settle(self, reserved: int, used: int) -> "Usage":
        return replace(self, reserved=max(0, self.reserved - reserved), used=self.used + used)

    def paid(self, tokens: Tokens, cost: float | None) -> "Usage":
        total = self.cost if cost is None else (self.cost or 0.0) + cost
        return replace(self, tokens=self.tokens + tokens, cost=total)

    def operation(self) -> Operation:
        """To be committed with the job that reserves or settles, so that it counts exactly once."""
        key = usage_key(self.engine, self.month)
        values: dict[str, Value] = {"v": 1, "used": self.used, "reserved": self.reserved}
        if self.tokens:
            values |= {"inputTokens": self.tokens.input, "outputTokens": self.tokens.output}
        if self.cost is not None:
            values["cost"] = self.cost
        return Replace(key, values, self.etag) if self.etag else Insert(key, values)


class UsageStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def read(self, incarnation: str, engine: str, month: str) -> Usage:
        row = await self._table.get(incarnation, usage_key(engine, month))
        return Usage(engine, month) if row is None else _decode(row)

    async def all(self, incarnation: str) -> list[Usage]:
        """Every month of every engine of the project."""
        rows = await self._table.query(incarnation, *key_range("usage|"))
        return [_decode(row) for row in rows]


def _decode(row: Row) -> Usage:
    values, cost = row.values, row.values.get("cost")
    _, engine, month = row.key.split("|")
    return Usage(
        engine,
        month,
        int_of(values, "used"),
        int_of(values, "reserved"),
        Tokens(int_of(values, "inputTokens"), int_of(values, "outputTokens")),
        float(cost) if isinstance(cost, int | float) else None,
        row.etag,
    )


WINDOW_SECONDS = 10
#: Windows that a minute can touch: with a share for each, no minute has more calls than are allowed.
WINDOWS = 7


#: A batch may begin so long before its turn, so that the service is not idle while messages travel. In return each
#: batch takes a little more time than it needs, and no minute has more calls than are allowed.
LEAD_SECONDS = 5


class CallRates:
    """Calls of services that limit them, over all instances of the app: one row per service. It counts the calls of the
    current window (`take`), or holds the time from which the next batch may call (`reserve`).

    A service may count in other windows; what it refuses all the same is tried again later.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    async def take(self, service: str, per_minute: int, calls: int, now: datetime) -> tuple[int, float]:
        """How many of the calls may be made now, and if not all, after how many seconds to ask again."""
        window = int(now.timestamp()) // WINDOW_SECONDS
        rest = WINDOW_SECONDS - now.timestamp() % WINDOW_SECONDS
        key = rate_key(service)
        for _ in range(10):
            row = await self._table.get(INDEX, key)
            used = int_of(row.values, "used") if row and row.values.get("window") == window else 0
            granted = max(0, min(calls, per_minute // WINDOWS - used))
            if not granted:
                return 0, rest
            values: dict[str, Value] = {"v": 1, "window": window, "used": used + granted}
            try:
                await self._table.commit(
                    INDEX, [Replace(key, values, row.etag) if row else Insert(key, values)]
                )
            except (RowChanged, RowExists):
                await asyncio.sleep(random() * 0.05)  # so that racers do not meet again
                continue
            return granted, 0.0 if granted == calls else rest
        return 0, 1.0

    async def reserve(self, service: str, minutes: float, now: datetime) -> float:
        """Reserve the next minutes of a service for a batch; return 0, or after how many seconds to ask again."""
        key = rate_key(service)
        for _ in range(10):
            row = await self._table.get(INDEX, key)
            if (wait := _until_free(row, now)) > 0:
                return wait
            begins = max(now, _free(row) or now)
            taken = timedelta(minutes=minutes * (60 + LEAD_SECONDS) / 60)
            values: dict[str, Value] = {"v": 1, "free": begins + taken}
            try:
                await self._table.commit(
                    INDEX, [Replace(key, values, row.etag) if row else Insert(key, values)]
                )
            except (RowChanged, RowExists):
                await asyncio.sleep(random() * 0.05)
                continue
            return 0.0
        return 1.0

    async def until_free(self, service: str, now: datetime) -> float:
        """After how many seconds a batch may call the service; nothing is taken."""
        return _until_free(await self._table.get(INDEX, rate_key(service)), now)


def _free(row: Row | None) -> datetime | None:
    free = row.values.get("free") if row else None
    return free if isinstance(free, datetime) else None


def _until_free(row: Row | None, now: datetime) -> float:
    free = _free(row)
    return max(0.0, (free - now).total_seconds() - LEAD_SECONDS) if free else 0.0


def month_of(moment: datetime) -> str:
    return f"{moment:%Y-%m}"
