"""What the app costs with nothing to do, and at its start."""

import asyncio
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.api import Api
from bench.measure import Figure
from bench.server import ROOT, logged_server
from bench.texts import project_file

PROJECTS = (1, 300)
SECONDS = 120
SETTLE = 200
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


async def idle(projects: int, seconds: float = SECONDS) -> list[Figure]:
    """Storage calls a minute, with so many projects and the schedules that the app has on Azure."""
    with tempfile.TemporaryDirectory() as folder, logged_server(Path(folder)) as (server, log):
        api = Api(server)
        async with api.client:
            for number in range(projects):
                file = project_file(f"idle{number}", f"bench-idle{number % 10}", ["Refund"])
                await api.post(f"idle{number}/:import", file)
        await asyncio.sleep(
            SETTLE
        )  # until the work of the imports has ended and their projects are no longer active
        start = len(log.read_text())
        await asyncio.sleep(seconds)
        lines = log.read_text()[start:].splitlines()
    calls = [line for line in lines if re.search(r'"(GET|PUT|POST|DELETE|HEAD|MERGE|PATCH) /', line)]
    kinds = {
        "tables": sum(
            "labelbridge" in line and "/messages" not in line and "comp=" not in line for line in calls
        ),
        "queues": sum("/messages" in line for line in calls),
    }
    minutes = seconds / 60
    name = f"idle storage calls a minute, {projects} projects"
    return [
        Figure(name, "calls", len(calls) / minutes),
        *(Figure(f"  of them {kind}", "calls", count / minutes) for kind, count in kinds.items()),
    ]
