"""The cost of the app when idle, and at its start."""

import asyncio
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from azure.data.tables.aio import TableServiceClient

from bench.api import Api
from bench.measure import Figure
from bench.server import ROOT, Server, host_on, logged_storage
from bench.texts import project_file

PROJECTS = (1, 300)
MINUTES = 2
#: Requests at a time that create projects, and seconds that their work may take.
AT_ONCE = 16
SETTLE = 900
#: While the projects are created, a quick sweep; while they are measured, nothing that runs only now and then: the
#: comparison of containers (hourly) and the import of labels (every 15 minutes).
CREATING = {"SWEEP_SCHEDULE": "*/5 * * * * *"}
MEASURED = {"RECONCILE_SCHEDULE": "0 0 0 1 1 *", "SYNC_SCHEDULE": "0 0 0 1 1 *"}
#: Marks of projects that have something to do.
_OPEN_WORK = "PartitionKey eq '$index' and RowKey ge 'active|' and RowKey lt 'active}'"
_CALL = re.compile(r'"(?:GET|PUT|POST|DELETE|HEAD|MERGE|PATCH) (/\S+)')
STARTS = 5
#: Settings with which the app registers all of its functions.
VALID = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "API_KEYS": json.dumps([{"name": "bench", "sha256": "a" * 64, "roles": ["*"]}]),
}


def import_cpu(statement: str = "import function_app", *, compiled: bool = True) -> float:
    """Median CPU in ms of a Python process that runs the statement, less that of an empty one.

    `compiled`: with the byte code that there is, which an installation makes of packages; else without any.
    """

    def once(code: str) -> float:
        with tempfile.TemporaryDirectory() as empty:
            environment = os.environ | VALID | {"PYTHONDONTWRITEBYTECODE": "1"}
            if not compiled:
                environment["PYTHONPYCACHEPREFIX"] = empty
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    return statistics.median(once(statement) for _ in range(STARTS)) - statistics.median(
        once("pass") for _ in range(STARTS)
    )


async def idle(*counts: int) -> list[Figure]:
    """Storage calls a minute when all work has ended, for each number of projects; all are measured at once.

    From the middle of a minute to the middle of another: two sweeps, and all that the host asks its queues.
    """
    found = await asyncio.gather(*(asyncio.to_thread(_measure, count) for count in counts))
    return [figure for figures in found for figure in figures]


def _measure(projects: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, logged_storage(Path(folder)) as (storage, log):
        with host_on(storage, **CREATING) as server:
            asyncio.run(_create(server, projects))
        with host_on(storage, **MEASURED):
            _sleep_to_mid_minute(2)  # the first sweep of a process looks at more
            start = log.stat().st_size
            _sleep_to_mid_minute(MINUTES)
            calls = _CALL.findall(log.read_text()[start:])
    queues = sum("/messages" in path and "-poison/" not in path for path in calls)
    name = f"idle storage calls a minute, {projects} projects"
    return [
        Figure(name, "calls", len(calls) / MINUTES),
        Figure(f"  of them the host asking its queues, {projects}", "calls", queues / MINUTES),
        Figure(f"  all others, {projects}", "calls", (len(calls) - queues) / MINUTES),
    ]


async def _create(server: Server, projects: int) -> None:
    """Create projects and wait until the sweep has nothing to do for them."""
    api, turn = Api(server), asyncio.Semaphore(AT_ONCE)

    async def create(number: int) -> None:
        file = project_file(f"idle{number}", f"bench-idle{number % 10}", ["Refund"])
        async with turn:
            await api.post(f"idle{number}/:import", file)

    async with api.client:
        await asyncio.gather(*map(create, range(projects)))
    async with (
        asyncio.timeout(SETTLE),
        TableServiceClient.from_connection_string(server.connection_string) as tables,
    ):
        rows = tables.get_table_client("labelbridgeprojects")
        while [row async for row in rows.query_entities(_OPEN_WORK)]:  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(2)


def _sleep_to_mid_minute(minutes: int) -> None:
    """Until half past a minute; more than `minutes - 1` minutes, and at most `minutes`."""
    now = time.time()
    time.sleep((now - 30) // 60 * 60 + 30 + 60 * minutes - now)
