"""The leases of batches.

One row `batch|{job}|{n}` is both the lease of the worker that runs the batch and, replaced in the transaction that
commits its pages, its result. So a worker that was slow and lost its lease cannot commit, a batch that runs twice
finds its result, and the progress of a job is a count of rows:

    (absent) ── acquire ──▶ running until t ── commit ──▶ done
                               │   ▲ renew                 ▲
                               └───┘     t passed: acquire again; canceled or given up: done at once
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from shared.domain.jobs import BatchResult, DocumentOutcome, Job
from shared.storage.gateways.ports import (
    Merge,
    Replace,
    RowChanged,
    RowMissing,
    StorageUnavailable,
    Table,
    Value,
)
from shared.storage.rows import batch_key, packed_values, to_json

LEASE_FOR = timedelta(seconds=20)
RELEASE_SECONDS = 5.0
"""Time limit for releasing a lease when work is interrupted."""


class LeaseLost(Exception):
    """Another worker took over, or the batch was canceled: this worker may commit nothing more."""


class LeaseExpired(StorageUnavailable):
    """No renewal succeeded in time: another worker may or may not take over, so the work is retried."""


class Lease:
    """A batch that is ours for a while; its row is replaced by the result in the transaction of the pages."""

    def __init__(self, table: Table, job: Job, number: int, token: str, etag: str, failure: str = "") -> None:
        #: Why the previous attempt failed.
        self.failure = failure
        self._table = table
        self._job = job
        self.number = number
        self._token = token
        self._etag = etag
        self._result: Callable[[], BatchResult] = BatchResult

    async def renew(self, now: datetime) -> None:
        """Raises LeaseLost if another worker has it by now."""
        key = batch_key(self._job.id, self.number)
        try:
            etags = await self._table.commit(
                self._job.incarnation, [Merge(key, {"until": now + LEASE_FOR}, self._etag)]
            )
        except (RowChanged, RowMissing) as error:
            row = await self._table.get(self._job.incarnation, key)
            if row is None or row.values.get("token") != self._token:
                raise LeaseLost from error
            etags = [row.etag]  # our own renewal, whose answer was lost
        self._etag = etags[0]

    async def release(self, until: datetime, failure: str) -> None:
        """Let the batch be retried from then on, and record why this attempt failed."""
        key, values = batch_key(self._job.id, self.number), {"until": until, "failure": failure}
        # A renewal whose answer was lost or not waited for has changed our own row.
        for _ in range(2):
            try:
                await self._table.commit(self._job.incarnation, [Merge(key, values, self._etag)])
            except RowChanged:
                with suppress(LeaseLost, StorageUnavailable):
                    if not await self.landed():
                        continue
            except (RowMissing, StorageUnavailable):
                pass
            return  # released, or someone else has it, or the lease ends by itself

    async def release_soon(self, now: datetime) -> None:
        """Release it for another attempt when this one took too long, or its process ends, so that it need not wait."""
        with suppress(Exception):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self.release(now, self.failure)

    async def check(self) -> None:
        """Raises LeaseLost if another worker has it by now, or has settled the batch."""
        row = await self._table.get(self._job.incarnation, batch_key(self._job.id, self.number))
        if row is None or row.values.get("token") != self._token:
            raise LeaseLost

    def close_with(self, result: Callable[[], BatchResult]) -> None:
        """What to write when the pages are committed, asked then: the outcomes are known no sooner."""
        self._result = result

    def operation(self) -> Replace:
        return Replace(batch_key(self._job.id, self.number), done(self._token, self._result()), self._etag)

    async def landed(self) -> bool:
        """Whether the batch is done by us. Raises LeaseLost if another worker has it."""
        row = await self._table.get(self._job.incarnation, batch_key(self._job.id, self.number))
        if row is None or row.values.get("token") != self._token:
            raise LeaseLost
        if row.values.get("done"):
            return True
        self._etag = row.etag  # renewed meanwhile
        return False


def running(token: str, now: datetime) -> dict[str, Value]:
    return {"v": 1, "done": False, "token": token, "until": now + LEASE_FOR}


def done(token: str, result: BatchResult) -> dict[str, Value]:
    counts = to_json(_counts(result.outcomes) if result.counts is None else dict(result.counts))
    values: dict[str, Value] = {
        "v": 1,
        "done": True,
        "token": token,
        "counts": counts,
        "records": result.text_records,
    }
    if result.tokens or result.left_out:
        values["paid"] = to_json([result.tokens.input, result.tokens.output, result.left_out])
    if result.error:
        values["error"] = to_json(asdict(result.error))
    return values | packed_values([_encode_outcome(o) for o in result.outcomes])


def _counts(outcomes: Iterable[DocumentOutcome]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
    return counts


def _encode_outcome(outcome: DocumentOutcome) -> list[Any]:
    error = outcome.error
    return [
        outcome.document_id,
        outcome.location,
        outcome.outcome,
        [error.code, error.message, error.target] if error else None,
    ]
