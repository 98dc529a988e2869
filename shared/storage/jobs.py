"""Jobs and their batches.

One row `batch|{job}|{n}` is both the claim of whoever runs the batch and, replaced in the transaction that commits
its pages, its result. So a worker that was slow and lost its claim cannot commit, a batch that runs twice finds its
result, and the progress of a job is a count of rows:

    (absent) ── claim ──▶ running until t ── commit ──▶ done
                             │   ▲ renew                 ▲
                             └───┘     t passed: claim again, or cancel / poison: done at once
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.domain.errors import Conflict, JobNotFound
from shared.domain.jobs import (
    Batch,
    BatchResult,
    DocumentOutcome,
    Job,
    JobError,
    JobKind,
    JobStatus,
    Outcome,
)
from shared.storage import keys, packing
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    StorageUnavailable,
    Table,
    Value,
)

CLAIM_FOR = timedelta(seconds=20)
#: Jobs that outlive their project, or come before it, lie in the index.
_GLOBAL = frozenset({JobKind.DELETION, JobKind.IMPORT})


class ClaimLost(Exception):
    """Another worker took the batch over, or it was cancelled; nothing of ours may land any more."""


@dataclass(frozen=True, slots=True)
class BatchState:
    """One batch as its row tells: `result` None while it runs; `until` is the end of the claim."""

    number: int
    until: datetime | None
    counts: dict[str, int]
    text_records: int
    error: JobError | None
    done: bool


class JobStore:
    def __init__(self, table: Table) -> None:
        self._table = table

    async def create(self, job: Job, *more: Operation) -> tuple[Job, bool]:
        """The job, and whether it is new: a job with the same id is the same job (rule A6).

        `more` land in the same transaction; RowChanged when one of them was in the way.
        """
        operations = [Insert(keys.job(job.kind, job.id), _encode(job))]
        if not job.status.ended:
            operations.append(Insert(keys.open_job(job.kind, job.id), {"v": 1}))
        try:
            etags = await self._table.commit(_partition(job), [*operations, *more])
        except RowExists:
            found = await self.find(job.incarnation, job.kind, job.id)
            if found is None:
                raise Conflict("The job was removed while it was made; try again.") from None
            return found, found == job  # equal: our own write, whose answer was lost
        return replace(job, etag=etags[0]), True

    async def find(self, incarnation: str, kind: JobKind, job_id: str) -> Job | None:
        row = await self._table.get(keys.INDEX if kind in _GLOBAL else incarnation, keys.job(kind, job_id))
        return _decode(row) if row else None

    async def get(self, incarnation: str, kind: JobKind, job_id: str) -> Job:
        job = await self.find(incarnation, kind, job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def list(self, incarnation: str, kind: JobKind) -> "list[Job]":
        """All jobs of the kind, newest first."""
        low, high = keys.prefix(keys.job(kind))
        rows = await self._table.query(keys.INDEX if kind in _GLOBAL else incarnation, low, high)
        return sorted(map(_decode, rows), key=lambda job: (job.created, job.id), reverse=True)

    async def open_jobs(self, incarnation: str | None) -> "list[Job]":
        """The jobs that have not ended, of one project or (None) those of the index."""
        partition = keys.INDEX if incarnation is None else incarnation
        low, high = keys.prefix("open|")
        rows = await self._table.query(partition, low, high)
        found = [await self._table.get(partition, keys.job_of_open(row.key)) for row in rows]
        return [_decode(row) for row in found if row is not None]

    async def save(self, job: Job, *more: Operation) -> Job:
        """Replace the row as it was read; a job that has ended leaves the list of open ones.

        `more` land in the same transaction. Raises RowChanged when somebody else was first.
        """
        operations: list[Operation] = [Replace(keys.job(job.kind, job.id), _encode(job), job.etag), *more]
        if job.status.ended:
            operations.append(Delete(keys.open_job(job.kind, job.id)))
        try:
            etags = await self._table.commit(_partition(job), operations)
        except RowMissing as error:  # ended before: by somebody else, or by us when the answer was lost
            raise RowChanged("The job has ended.") from error
        return replace(job, etag=etags[0])

    async def remove(self, job: Job) -> None:
        """Delete the job and its batches."""
        low, high = keys.prefix(keys.batch(job.id))
        rows = await self._table.query(job.incarnation, low, high, select=["v"])
        for start in range(0, len(rows), 100):
            await self._delete(job.incarnation, [row.key for row in rows[start : start + 100]])
        await self._delete(_partition(job), [keys.open_job(job.kind, job.id)])
        await self._delete(_partition(job), [keys.job(job.kind, job.id)])

    async def _delete(self, partition: str, row_keys: Sequence[str]) -> None:
        try:
            await self._table.commit(partition, [Delete(key) for key in row_keys])
        except RowMissing:
            for key in row_keys if len(row_keys) > 1 else ():
                await self._delete(partition, [key])

    # Batches

    async def states(self, job: Job) -> "list[BatchState]":
        """What is known of the batches that were begun, in their order, without the outcomes of documents."""
        low, high = keys.prefix(keys.batch(job.id))
        rows = await self._table.query(
            job.incarnation, low, high, select=["done", "until", "counts", "records", "error"]
        )
        return [_state(row) for row in rows]

    async def outcomes(self, job: Job) -> "list[DocumentOutcome]":
        """What became of each document of the batches that are done."""
        low, high = keys.prefix(keys.batch(job.id))
        rows = await self._table.query(job.incarnation, low, high)
        done = (packing.unpacked_values(row.values) for row in rows if row.values.get("done"))
        return [_decode_outcome(one) for outcomes in done for one in outcomes]

    async def claim(self, job: Job, number: int, token: str, now: datetime) -> "Claim | None":
        """The right to run a batch; None when it is done or another live worker has it."""
        key, values = keys.batch(job.id, number), _running(token, now)
        try:
            etags = await self._table.commit(job.incarnation, [Insert(key, values)])
        except RowExists:
            row = await self._table.get(job.incarnation, key)
            if row is None or row.values.get("done"):
                return None
            if row.values.get("token") == token:
                return Claim(self._table, job, number, token, row.etag)
            until, failure = row.values.get("until"), packing.string(row.values, "failure")
            if isinstance(until, datetime) and until > now:
                return None
            values["failure"] = failure
            try:
                etags = await self._table.commit(job.incarnation, [Replace(key, values, row.etag)])
            except RowChanged:
                return None
            return Claim(self._table, job, number, token, etags[0], failure)
        return Claim(self._table, job, number, token, etags[0])

    async def finish(self, job: Job, number: int, result: BatchResult) -> None:
        """Settle a batch from outside, whoever runs it: cancelled or poisoned. One that is done stays as it is."""
        key, values = keys.batch(job.id, number), _done("", result)
        for _ in range(5):
            row = await self._table.get(job.incarnation, key)
            if row is not None and row.values.get("done"):
                return
            operation = Insert(key, values) if row is None else Replace(key, values, row.etag)
            try:
                await self._table.commit(job.incarnation, [operation])
            except (RowExists, RowChanged, RowMissing):
                continue
            return


class Claim:
    """A batch that is ours for a while; its row is replaced by the result in the transaction of the pages."""

    def __init__(self, table: Table, job: Job, number: int, token: str, etag: str, failure: str = "") -> None:
        #: Why the try before ours failed.
        self.failure = failure
        self._table = table
        self._job = job
        self.number = number
        self._token = token
        self._etag = etag
        self._result: Callable[[], BatchResult] = BatchResult

    async def renew(self, now: datetime) -> None:
        """Raises ClaimLost when somebody else has it by now."""
        key = keys.batch(self._job.id, self.number)
        try:
            etags = await self._table.commit(
                self._job.incarnation, [Merge(key, {"until": now + CLAIM_FOR}, self._etag)]
            )
        except (RowChanged, RowMissing) as error:
            row = await self._table.get(self._job.incarnation, key)
            if row is None or row.values.get("token") != self._token:
                raise ClaimLost from error
            etags = [row.etag]  # our own renewal, whose answer was lost
        self._etag = etags[0]

    async def release(self, now: datetime, failure: str) -> None:
        """Let the batch be tried again at once, and remember why this try failed."""
        key = keys.batch(self._job.id, self.number)
        try:
            await self._table.commit(
                self._job.incarnation, [Merge(key, {"until": now, "failure": failure}, self._etag)]
            )
        except (RowChanged, RowMissing, StorageUnavailable):
            return  # somebody else has it, or the claim ends by itself

    def close_with(self, result: Callable[[], BatchResult]) -> None:
        """What to write when the pages are committed, asked then: the outcomes are known no sooner."""
        self._result = result

    def operation(self) -> Replace:
        return Replace(keys.batch(self._job.id, self.number), _done(self._token, self._result()), self._etag)

    async def landed(self) -> bool:
        """Whether the batch is done by us. Raises ClaimLost when it is somebody else's."""
        row = await self._table.get(self._job.incarnation, keys.batch(self._job.id, self.number))
        if row is None or row.values.get("token") != self._token:
            raise ClaimLost
        if row.values.get("done"):
            return True
        self._etag = row.etag  # renewed meanwhile
        return False


def _partition(job: Job) -> str:
    return keys.INDEX if job.kind in _GLOBAL else job.incarnation


def _running(token: str, now: datetime) -> dict[str, Value]:
    return {"v": 1, "done": False, "token": token, "until": now + CLAIM_FOR}


def _done(token: str, result: BatchResult) -> dict[str, Value]:
    counts = packing.to_text(_counts(result.outcomes) if result.counts is None else dict(result.counts))
    values: dict[str, Value] = {
        "v": 1,
        "done": True,
        "token": token,
        "counts": counts,
        "records": result.text_records,
    }
    if result.error:
        values["error"] = packing.to_text(asdict(result.error))
    return values | packing.packed_values([_encode_outcome(o) for o in result.outcomes])


def _counts(outcomes: Iterable[DocumentOutcome]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in outcomes:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return counts


def _state(row: Row) -> BatchState:
    until, error = row.values.get("until"), packing.string(row.values, "error")
    counts = packing.string(row.values, "counts")
    return BatchState(
        number=keys.number_of(row.key),
        until=until if isinstance(until, datetime) else None,
        counts=packing.from_text(counts) if counts else {},
        text_records=packing.integer(row.values, "records"),
        error=JobError(**packing.from_text(error)) if error else None,
        done=bool(row.values.get("done")),
    )


def _encode_outcome(one: DocumentOutcome) -> list[Any]:
    error = one.error
    return [
        one.document_id,
        one.location,
        one.outcome,
        [error.code, error.message, error.target] if error else None,
    ]


def _decode_outcome(data: list[Any]) -> DocumentOutcome:
    document_id, location, outcome, error = data
    return DocumentOutcome(document_id, location, Outcome(outcome), JobError(*error) if error else None)


def _encode(job: Job) -> dict[str, Value]:
    data: dict[str, Any] = {
        "parameters": dict(job.parameters),
        "batches": [[b.low, b.high, b.planned] for b in job.batches],
        "result": dict(job.result),
        "errors": [asdict(e) for e in job.errors],
        "warnings": [asdict(e) for e in job.warnings],
    }
    return {
        "v": 1,
        "project": job.project,
        "incarnation": job.incarnation,
        "edition": job.edition,
        "generation": job.generation,
        "status": job.status.value,
        "created": job.created,
        "updated": job.updated,
        **packing.packed_values(data),
    }


def _decode(row: Row) -> Job:
    values, data = row.values, packing.unpacked_values(row.values)
    created, updated = values["created"], values["updated"]
    if not isinstance(created, datetime) or not isinstance(updated, datetime):
        raise TypeError(f"The row of job {row.key} holds no times.")
    _, kind, job_id = row.key.split("|", 2)
    return Job(
        id=job_id,
        kind=JobKind(kind),
        project=packing.string(values, "project"),
        incarnation=packing.string(values, "incarnation"),
        edition=packing.string(values, "edition"),
        generation=packing.integer(values, "generation"),
        created=created,
        updated=updated,
        status=JobStatus(packing.string(values, "status")),
        parameters=data["parameters"],
        batches=tuple(Batch(*b) for b in data["batches"]),
        result=data["result"],
        errors=tuple(JobError(**e) for e in data["errors"]),
        warnings=tuple(JobError(**e) for e in data["warnings"]),
        etag=row.etag,
    )
