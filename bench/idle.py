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
from contextlib import ExitStack
from pathlib import Path

from azure.data.tables.aio import TableServiceClient

from bench.api import Api
from bench.measure import Figure
from bench.server import ROOT, Server, host_on, logged_storage

PROJECTS = (1, 300)
MINUTES = 2
#: Concurrent requests that create projects, and the maximum seconds for their work.
AT_ONCE = 16
#: Progress is printed after this many projects.
SAID = 50
SETTLE = 900
#: A frequent sweep while the projects are created. While they are measured, nothing that runs rarely: neither the
#: comparison of containers (hourly) nor the import of labels (every 15 minutes).
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
    """Median CPU in ms of a Python process that runs the statement, minus that of an empty one.

    `compiled`: with existing byte code, which installing a package creates; otherwise without any.
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

    The time runs from the middle of a minute to the middle of another: two sweeps, and all polls of the host's queues.
    """
    found = await asyncio.gather(*map(_measure, counts))
    return [figure for figures in found for figure in figures]


async def _measure(projects: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        storage, log = await asyncio.to_thread(running.enter_context, logged_storage(Path(folder)))
        with ExitStack() as creating:
            server = await asyncio.to_thread(creating.enter_context, host_on(storage, **CREATING))
            await _create(server, projects)
            await asyncio.to_thread(creating.close)
        await asyncio.to_thread(running.enter_context, host_on(storage, **MEASURED))
        _say(projects, f"nothing is left to do; the storage calls of {MINUTES} minutes are counted next")
        begin = (time.time() // 60 + 1) * 60 + 30  # the first sweep of a process reads more
        await _until(begin)
        start = log.stat().st_size
        await _until(begin + 60 * MINUTES)
        calls = _CALL.findall(log.read_text()[start:])
    queues = sum("/messages" in path and "-poison/" not in path for path in calls)
    name = f"idle storage calls a minute, {projects} projects"
    figures = [
        Figure(name, "calls", len(calls) / MINUTES),
        Figure(f"  of them the host asking its queues, {projects}", "calls", queues / MINUTES),
        Figure(f"  all others, {projects}", "calls", (len(calls) - queues) / MINUTES),
    ]
    _say(projects, f"{figures[0].value:g} storage calls a minute")
    return figures


def _say(projects: int, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} idle, {projects} projects: {what}", file=sys.stderr, flush=True)


async def _create(server: Server, projects: int) -> None:
    """Create projects and wait until the sweep has nothing left to do for them, which takes at least two minutes."""
    api, turn, made = Api(server), asyncio.Semaphore(AT_ONCE), 0

    async def create(number: int) -> None:
        nonlocal made
        async with turn:
            await api.create(f"idle{number}", f"bench-idle{number % 10}", on_upload=True)
        made += 1
        if made % SAID == 0:
            _say(projects, f"{made} are created")

    async with api.client:
        await asyncio.gather(*map(create, range(projects)))
    async with (
        asyncio.timeout(SETTLE),
        TableServiceClient.from_connection_string(server.connection_string) as tables,
    ):
        rows = tables.get_table_client("labelbridgeprojects")
        said = 0
        while left := len([row async for row in rows.query_entities(_OPEN_WORK, select=["RowKey"])]):
            if left != said:
                _say(projects, f"{left} have work left")
            said = left
            await asyncio.sleep(2)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0, moment - time.time()))
