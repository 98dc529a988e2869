"""Jobs and the states of their batches; what a batch does with its row is in `shared.storage.leases`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from shared import telemetry
from shared.domain import jobs
from shared.domain.errors import Conflict, JobNotFound
from shared.domain.jobs import (
    Batch,
    BatchResult,
    DocumentOutcome,
    Job,
    JobError,
    JobKind,
    JobStatus,
    NoParameters,
    Outcome,
    Parameters,
    Result,
)
from shared.domain.text import NO_TOKENS, Tokens
from shared.domain.transfers import ImportParameters, ImportResult, PushParameters, PushResult
from shared.storage.gateways.ports import (
    Delete,
    Insert,
    Operation,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    Value,
)
from shared.storage.leases import Lease, done, running
from shared.storage.outbox import Outbox
from shared.storage.projects import ActiveProjects
from shared.storage.rows import (
    INDEX,
    batch_key,
    from_json,
    int_of,
    job_key,
    job_key_of_open,
    key_range,
    latest_key,
    number_of,
    open_job_key,
    packed_values,
    str_of,
    unpacked_values,
)
from shared.wire import json_codec
from shared.wire.events import of_job

#: Jobs that outlive their project, or come before it, lie in the index.
_GLOBAL = frozenset({JobKind.DELETION, JobKind.IMPORT})

#: The types of the JSON in the row of a job.
_PARAMETERS: Mapping[JobKind, type[Parameters]] = {
    JobKind.AUTOLABEL: jobs.AutolabelParameters,
    JobKind.REGISTER: jobs.RegisterParameters,
    JobKind.SCAN: jobs.ScanParameters,
    JobKind.REVIEW: jobs.BulkParameters,
    JobKind.UNDO: jobs.UndoParameters,
    JobKind.IMPORT: ImportParameters,
    JobKind.FIT: jobs.FitParameters,
    JobKind.TRAIN: jobs.TrainParameters,
    JobKind.EVALUATE: jobs.EvaluateParameters,
    JobKind.CONNECTION: jobs.ConnectionParameters,
    JobKind.PUSH: PushParameters,
}
_RESULTS: Mapping[JobKind, type[Result]] = {
    JobKind.AUTOLABEL: jobs.AutolabelResult,
    JobKind.SCAN: jobs.ScanResult,
    JobKind.REVIEW: jobs.BulkResult,
    JobKind.UNDO: jobs.UndoResult,
    JobKind.EXPORT: jobs.ExportResult,
    JobKind.IMPORT: ImportResult,
    JobKind.FIT: jobs.FitResult,
    JobKind.TRAIN: jobs.TrainResult,
    JobKind.EVALUATE: jobs.EvaluateResult,
    JobKind.CONNECTION: jobs.ConnectionResult,
    JobKind.PUSH: PushResult,
}


@dataclass(frozen=True, slots=True)
class BatchState:
    """One batch that was begun, without the outcomes of its documents; `until` is the end of its lease."""

    number: int
    until: datetime | None
    counts: dict[str, int]
    text_records: int
    error: JobError | None
    done: bool
    tokens: Tokens = NO_TOKENS
    left_out: int = 0


#: Stands for the kinds of jobs that plans create.
PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Latest:
    """Which job was the latest of its kind. Of two callers that read the same, one can create the next job."""

    key: str
    etag: str | None = None
    job: str = ""

    def replaced_by(self, job: Job) -> Operation:
        """What to commit with the new job; RowChanged when another one has been created since."""
        values: dict[str, Value] = {"v": 1, "job": job.id}
        return Insert(self.key, values) if self.etag is None else Replace(self.key, values, self.etag)


class JobStore:
    def __init__(
        self, table: Table, active: ActiveProjects | None = None, outbox: Outbox | None = None
    ) -> None:
        """`active`: where projects with open jobs are marked. `outbox`: for the events of jobs that end."""
        self._table = table
        self._active = active
        self._outbox = outbox or Outbox(table)

    async def create(self, job: Job, *more: Operation) -> tuple[Job, bool]:
        """The job, and whether it is new: a job with the same id is the same job (rule A6).

        `more` land in the same transaction; RowChanged when one of them was in the way, and there is no such job.
        """
        job = replace(job, trace=telemetry.trace())
        operations = [Insert(job_key(job.kind, job.id), _encode(job))]
        if not job.status.ended:
            if self._active is not None and job.kind not in _GLOBAL:
                await self._active.mark(job.incarnation)
            operations.append(Insert(open_job_key(job.kind, job.id), {"v": 1}))
        try:
            etags = await self._table.commit(_partition(job), [*operations, *more])
        except (RowExists, RowChanged) as error:
            found = await self.find(job.incarnation, job.kind, job.id)
            if found is not None:
                return found, found == job  # equal: our own write, whose answer was lost
            if more:
                raise RowChanged(key=error.key) from error
            raise Conflict("The job was removed while it was being created; try again.") from None
        return replace(job, etag=etags[0]), True

    async def latest(self, incarnation: str, kind: str) -> "Latest":
        """The latest job of a kind, or of those that plans create (PLANNED)."""
        row = await self._table.get(incarnation, latest_key(kind))
        return (
            Latest(latest_key(kind), row.etag, str_of(row.values, "job")) if row else Latest(latest_key(kind))
        )

    async def create_alone(self, job: Job) -> tuple[Job, bool]:
        """As `create`, for a kind of which a project has one open job at a time. Raises Conflict."""
        for _ in range(10):
            latest = await self.latest(job.incarnation, job.kind)
            other = await self.find(job.incarnation, job.kind, latest.job) if latest.job else None
            if other is not None and other.id != job.id and not other.status.ended:
                raise Conflict(
                    f"A job of the kind '{job.kind}' is already running in this project: '{other.id}'."
                )
            try:
                return await self.create(job, latest.replaced_by(job))
            except (RowChanged, Conflict):
                continue  # another job was created at the same time
        raise Conflict(f"Too many callers are starting jobs of the kind '{job.kind}'; try again.")

    async def find(self, incarnation: str, kind: JobKind, job_id: str) -> Job | None:
        row = await self._table.get(INDEX if kind in _GLOBAL else incarnation, job_key(kind, job_id))
        return _decode(row) if row else None

    async def get(self, incarnation: str, kind: JobKind, job_id: str) -> Job:
        job = await self.find(incarnation, kind, job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def list(self, incarnation: str, kind: JobKind) -> "list[Job]":
        """All jobs of the kind, newest first."""
        low, high = key_range(job_key(kind))
        rows = await self._table.query(INDEX if kind in _GLOBAL else incarnation, low, high)
        return sorted(map(_decode, rows), key=lambda job: (job.created, job.id), reverse=True)

    async def expired(self, incarnation: str | None, now: datetime) -> "list[Job]":
        """The jobs of any kind, of one project or (None) of the index, that ended and are no longer kept."""
        partition = INDEX if incarnation is None else incarnation
        low, high = key_range("job|")
        rows = await self._table.query(partition, low, high, select=["status", "created"])
        keys = [row.key for row in rows if _is_expired(row, now)]
        found = [await self._table.get(partition, key) for key in keys]
        return [_decode(row) for row in found if row is not None]

    async def open_jobs(self, incarnation: str | None, *, but: Job | None = None) -> "list[Job]":
        """The jobs that have not ended, of one project or (None) those of the index, except one that is known."""
        partition = INDEX if incarnation is None else incarnation
        low, high = key_range("open|")
        known = open_job_key(but.kind, but.id) if but is not None else ""
        rows = [row for row in await self._table.query(partition, low, high) if row.key != known]
        found = [await self._table.get(partition, job_key_of_open(row.key)) for row in rows]
        return [_decode(row) for row in found if row is not None]

    async def save(self, job: Job, *more: Operation) -> Job:
        """Replace the row as it was read; a job that has ended leaves the list of open ones.

        `more` land in the same transaction. Raises RowChanged when someone else was first.
        """
        partition = _partition(job)
        prepared = await self._outbox.prepare(partition, of_job(job))
        operations = [Replace(job_key(job.kind, job.id), _encode(job), job.etag), *more, *prepared]
        if job.status.ended:
            operations.append(Delete(open_job_key(job.kind, job.id)))
        try:
            etags = await self._table.commit(partition, operations)
        except RowMissing as error:  # ended before: by someone else, or by us when the answer was lost
            raise RowChanged("The job has ended.") from error
        await self._outbox.announce(partition, prepared)
        return replace(job, etag=etags[0])

    async def remove(self, job: Job) -> None:
        """Delete the job and its batches."""
        low, high = key_range(batch_key(job.id))
        rows = await self._table.query(job.incarnation, low, high, select=["v"])
        for start in range(0, len(rows), 100):
            await self._delete(job.incarnation, [row.key for row in rows[start : start + 100]])
        await self._delete(_partition(job), [open_job_key(job.kind, job.id)])
        await self._delete(_partition(job), [job_key(job.kind, job.id)])

    async def _delete(self, partition: str, row_keys: Sequence[str]) -> None:
        try:
            await self._table.commit(partition, [Delete(key) for key in row_keys])
        except RowMissing:
            for key in row_keys if len(row_keys) > 1 else ():
                await self._delete(partition, [key])

    # Batches

    async def states(self, job: Job) -> "list[BatchState]":
        """The states of the batches that were started, in order, without the outcomes of documents."""
        low, high = key_range(batch_key(job.id))
        rows = await self._table.query(
            job.incarnation, low, high, select=["done", "until", "counts", "records", "error", "paid"]
        )
        return [_state(row) for row in rows]

    async def is_committed(self, job: Job, number: int) -> bool:
        """Whether a worker has committed the batch: one that was settled from outside has no token."""
        row = await self._table.get(job.incarnation, batch_key(job.id, number))
        return row is not None and bool(row.values.get("done")) and row.values.get("token") != ""

    async def outcomes(self, job: Job) -> "list[DocumentOutcome]":
        """The outcomes of the documents of finished batches."""
        low, high = key_range(batch_key(job.id))
        rows = await self._table.query(job.incarnation, low, high)
        done = (unpacked_values(row.values) for row in rows if row.values.get("done"))
        return [_decode_outcome(outcome) for outcomes in done for outcome in outcomes]

    async def acquire(self, job: Job, number: int, token: str, now: datetime) -> Lease | None:
        """The lease of a batch; None if it is done or another live worker has it."""
        key, values = batch_key(job.id, number), running(token, now)
        try:
            etags = await self._table.commit(job.incarnation, [Insert(key, values)])
        except RowExists:
            row = await self._table.get(job.incarnation, key)
            if row is None or row.values.get("done"):
                return None
            if row.values.get("token") == token:
                return Lease(self._table, job, number, token, row.etag)
            until, failure = row.values.get("until"), str_of(row.values, "failure")
            if isinstance(until, datetime) and until > now:
                return None
            values["failure"] = failure
            try:
                etags = await self._table.commit(job.incarnation, [Replace(key, values, row.etag)])
            except RowChanged:
                return None
            return Lease(self._table, job, number, token, etags[0], failure)
        return Lease(self._table, job, number, token, etags[0])

    async def finish(self, job: Job, number: int, result: BatchResult, *, again: bool = False) -> None:
        """Settle a batch from outside, even while it runs: canceled or poisoned. A finished one stays as it is.

        `again`: one that was settled from outside gets this result.
        """
        key, values = batch_key(job.id, number), done("", result)
        for _ in range(5):
            row = await self._table.get(job.incarnation, key)
            if row is not None and row.values.get("done") and not (again and row.values.get("token") == ""):
                return
            operation = Insert(key, values) if row is None else Replace(key, values, row.etag)
            try:
                await self._table.commit(job.incarnation, [operation])
            except (RowExists, RowChanged, RowMissing):
                continue
            return


def _partition(job: Job) -> str:
    return INDEX if job.kind in _GLOBAL else job.incarnation


def _is_expired(row: Row, now: datetime) -> bool:
    """Not a job of a kind or status from a later version, which this one cannot read."""
    kind, status, created = row.key.split("|")[1], row.values.get("status"), row.values.get("created")
    if kind not in JobKind or status not in JobStatus or not isinstance(created, datetime):
        return False
    return JobStatus(status).ended and created + jobs.EXPIRES_AFTER < now


def _state(row: Row) -> BatchState:
    until, error = row.values.get("until"), str_of(row.values, "error")
    counts = str_of(row.values, "counts")
    tokens_read, tokens_written, left_out = from_json(str_of(row.values, "paid") or "[0, 0, 0]")
    return BatchState(
        number=number_of(row.key),
        until=until if isinstance(until, datetime) else None,
        counts=from_json(counts) if counts else {},
        text_records=int_of(row.values, "records"),
        error=JobError(**from_json(error)) if error else None,
        done=bool(row.values.get("done")),
        tokens=Tokens(tokens_read, tokens_written),
        left_out=left_out,
    )


def _decode_outcome(data: list[Any]) -> DocumentOutcome:
    document_id, location, outcome, error = data
    return DocumentOutcome(document_id, location, Outcome(outcome), JobError(*error) if error else None)


def _encode(job: Job) -> dict[str, Value]:
    data: dict[str, Any] = {
        "parameters": json_codec.to_json(job.parameters),
        "batches": [[b.low, b.high, b.planned] for b in job.batches],
        "result": json_codec.to_json(job.result) if job.result else {},
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
        **({"trace": job.trace} if job.trace else {}),
        **packed_values(data),
    }


def _decode(row: Row) -> Job:
    values, data = row.values, unpacked_values(row.values)
    created, updated = values["created"], values["updated"]
    if not isinstance(created, datetime) or not isinstance(updated, datetime):
        raise TypeError(f"The row of job {row.key} has no times.")
    _, kind, job_id = row.key.split("|", 2)
    kind = JobKind(kind)
    return Job(
        id=job_id,
        kind=kind,
        project=str_of(values, "project"),
        incarnation=str_of(values, "incarnation"),
        edition=str_of(values, "edition"),
        generation=int_of(values, "generation"),
        created=created,
        updated=updated,
        status=JobStatus(str_of(values, "status")),
        parameters=json_codec.from_json(_PARAMETERS.get(kind, NoParameters), data["parameters"]),
        batches=tuple(Batch(*b) for b in data["batches"]),
        result=json_codec.from_json(_RESULTS[kind], data["result"])
        if data["result"] and kind in _RESULTS
        else None,
        errors=tuple(JobError(**e) for e in data["errors"]),
        warnings=tuple(JobError(**e) for e in data["warnings"]),
        trace=str(values.get("trace", "")),
        etag=row.etag,
    )
