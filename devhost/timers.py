"""Timer triggers: schedules, their status blob, and the lease by which only one host runs them."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobLeaseClient, BlobServiceClient, ContainerClient
from croniter import croniter

from devhost.output import log
from devhost.protos import TypedData
from devhost.settings import HostError, HostOptions, parse_time_span
from devhost.worker import Function, InvocationFailed, Worker

KEYS, NEVER = ("Last", "Next", "LastUpdated"), "0001-01-01T00:00:00"
CONTAINER = "azure-webjobs-hosts"
MONITORED = timedelta(minutes=1)  # shorter schedules are not remembered


def now() -> datetime:
    """Local time with its offset: schedules are in the time zone of the machine."""
    return datetime.now().astimezone()


class Schedule:
    """An NCRONTAB expression (six fields, seconds first; five are taken as from second 0) or a time span."""

    def __init__(self, expression: str) -> None:
        fields = len(expression.split())
        self._every = timedelta(seconds=parse_time_span(expression)) if fields == 1 else None
        self._expression = f"0 {expression}" if fields == 5 else expression
        try:
            self.next(now())
        except (ValueError, KeyError) as error:
            raise HostError(f"{expression!r} is not an NCRONTAB expression: {error}") from error

    def next(self, after: datetime) -> datetime:
        """The first occurrence after a time."""
        if self._every is not None:
            return after + self._every
        # Day of month and day of week must both fit, unlike in crontab.
        times = croniter(self._expression, after, second_at_beginning=True, day_or=False)
        return times.get_next(datetime)

    def is_monitored(self) -> bool:
        """False when two occurrences are less than a minute apart."""
        first = self.next(now())
        return self.next(first) - first >= MONITORED


@dataclass(frozen=True, slots=True)
class Status:
    """The stored status of a timer; `last` is None before the first run."""

    last: datetime | None
    next: datetime
    last_updated: datetime

    def to_json(self) -> dict[str, str]:
        """The form that the real host stores and gives the function."""
        times = (self.last, self.next, self.last_updated)
        texts = (time.isoformat() if time else NEVER for time in times)
        return dict(zip(KEYS, texts, strict=True))

    @classmethod
    def from_json(cls, value: dict[str, str]) -> "Status":
        """Read back `to_json`; ValueError or KeyError when it is something else."""
        last, following, updated = (value[key] for key in KEYS)
        times = [datetime.fromisoformat(text).astimezone() for text in (following, updated)]
        return cls(None if last.startswith("0001") else datetime.fromisoformat(last).astimezone(), *times)


def timer_info(status: Status | None = None, past_due: bool = False) -> str:
    """What a timer function is given, as JSON."""
    stored = status.to_json() if status else None
    return json.dumps({"Schedule": {"AdjustForDST": True}, "ScheduleStatus": stored, "IsPastDue": past_due})


class TimerListener:
    """Runs one timer function, in at most one of the hosts that share a host id."""

    def __init__(
        self, worker: Worker, function: Function, blobs: BlobServiceClient, host: str, options: HostOptions
    ) -> None:
        self._worker = worker
        self._function = function
        self._schedule = Schedule(function.trigger["schedule"])
        use_monitor = function.trigger.get("useMonitor", True) is not False
        self._monitored = use_monitor and self._schedule.is_monitored()
        self._container: ContainerClient = blobs.get_container_client(CONTAINER)
        self._lock_name = f"locks/{host}/{function.host_name}.Listener"
        self._status_name = f"timers/{host}/{function.host_name}/status"
        self._lease_seconds, self._retry = options.timer_lease, options.timer_lease_retry
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Wait for the lease, then keep the schedule until `stop` or until the lease is lost."""
        while not self._stopping.is_set():
            try:
                lease = await self._acquire()
                if lease is not None:
                    await self._hold(lease)
                    continue
            except AzureError as error:
                log(f"timer {self._function.name}: {type(error).__name__}, retrying")
            await self._pause(self._retry)

    def stop(self) -> None:
        """Start no more runs; `run` waits for the current one."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), max(seconds, 0))

    async def _acquire(self) -> BlobLeaseClient | None:
        """The lease, None while another host has it."""
        with contextlib.suppress(ResourceExistsError):
            await self._container.create_container()
        blob = self._container.get_blob_client(self._lock_name)
        with contextlib.suppress(HttpResponseError):
            await blob.upload_blob(b"")
        try:
            return await blob.acquire_lease(lease_duration=self._lease_seconds)
        except HttpResponseError as error:
            if error.status_code == 409:
                return None
            raise

    async def _hold(self, lease: BlobLeaseClient) -> None:
        keeper = asyncio.create_task(self._keep(lease))
        schedule = asyncio.create_task(self._keep_schedule())
        try:
            await asyncio.wait({keeper, schedule}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            keeper.cancel()
            if not schedule.done():
                schedule.cancel()
            await asyncio.gather(keeper, schedule, return_exceptions=True)
            with contextlib.suppress(AzureError):
                await lease.release()

    async def _keep(self, lease: BlobLeaseClient) -> None:
        """Renew the lease at half time; ends when it is lost."""
        while True:
            await asyncio.sleep(self._lease_seconds / 2)
            await lease.renew()

    async def _keep_schedule(self) -> None:
        status, past_due = await self._start_status()
        if past_due or self._function.trigger.get("runOnStartup"):
            status = await self._fire(status, past_due)
        while not self._stopping.is_set():
            await self._pause((status.next - now()).total_seconds())
            if not self._stopping.is_set():
                status = await self._fire(status, False)

    async def _start_status(self) -> tuple[Status, bool]:
        """The status to start from, and whether an occurrence was missed."""
        start = now()
        fresh = Status(None, self._schedule.next(start), start)
        if not self._monitored:
            return fresh, False
        stored = await self._read_status()
        if stored is None:
            await self._write_status(fresh)
            return fresh, False
        expected = self._schedule.next(stored.last_updated)
        if stored.next != expected:
            # Another schedule than the one that wrote it: nothing was missed.
            changed = fresh if start > expected else Status(None, expected, stored.last_updated)
            await self._write_status(changed)
            return changed, False
        return stored, start > stored.next

    async def _fire(self, status: Status, past_due: bool) -> Status:
        """One run. The next occurrence counts from its start, so a run that overran fires once, at once."""
        started = now()
        data = TypedData(json=timer_info(status if self._monitored else None, past_due))
        with contextlib.suppress(InvocationFailed):  # a timer is not retried before its next occurrence
            await self._worker.invoke(self._function, data)
        # After waking a little early, the same occurrence must not count as the next one.
        at = started if past_due else max(started, status.next)
        done = Status(at, self._schedule.next(at), at)
        if self._monitored:
            await self._write_status(done)
        return done

    async def _read_status(self) -> Status | None:
        try:
            content = await (await self._container.download_blob(self._status_name)).readall()
            return Status.from_json(json.loads(content))
        except (ResourceNotFoundError, ValueError, KeyError):
            return None

    async def _write_status(self, status: Status) -> None:
        with contextlib.suppress(AzureError):
            await self._container.upload_blob(self._status_name, json.dumps(status.to_json()), overwrite=True)
