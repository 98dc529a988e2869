"""`python -m bench.during_fit`: how long requests take while a model of 3,000 documents is fitted.

One client saves the labels of one document after the other in a project, and another requests `/health`. Meanwhile a
model is fitted on the labels of a second project or, with `--during predict`, its new texts are predicted. Before and
after, both clients run with nothing else going on.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench import engines_speed, raw
from bench.api import Api
from bench.processes import children, command_line, usage
from bench.server import Server, end_on_sigterm, serve
from bench.texts import name_of
from shared.domain.document import document_id

CONTAINER = "bench-fit"
KINDS = {"single": "CustomSingleLabelClassification", "entities": "CustomEntityRecognition"}
SAVED = 100
"""Documents whose labels are saved again and again, one after the other."""
QUIET_SECONDS = 15
#: With `--during predict`: the number of documents with labels.
LABELED = 300
#: Seconds between two requests of a client.
SAVE_PAUSE, HEALTH_PAUSE = 0.02, 0.01
AIMS = "aims: /health p99 under 50 ms, a save under twice its quiet time"


@dataclass(slots=True)
class Times:
    """Milliseconds of the requests that began in each phase."""

    phase: str = "quiet"
    saves: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    health: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    #: Failed requests, whose times do not count.
    failed: int = 0

    def line(self, phase: str) -> str:
        saves, health = sorted(self.saves.get(phase, [0.0])), sorted(self.health.get(phase, [0.0]))
        cells = (statistics.median(saves), _p(saves, 95), statistics.median(health), _p(health, 99))
        return (
            f"{phase:<24}{len(saves):>7}"
            + "".join(f"{cell:>13.1f}" for cell in cells)
            + f"{health[-1]:>9.1f}"
        )


def _p(values: list[float], percent: int) -> float:
    """A percentile of sorted values."""
    return values[min(len(values) - 1, len(values) * percent // 100)]


def project_file(project: str, kind: str, count: int, new: int = 0) -> tuple[dict[str, Any], list[str]]:
    """A project file of documents with labels and `new` ones without, and their texts."""
    made = engines_speed.documents(count + new, 1)
    assets: list[dict[str, Any]] = []
    for number, example in enumerate(made):
        label: dict[str, Any] = {"class": {"category": example.categories[0]}}
        if kind == "entities":
            spans = [{"category": s.category, "offset": s.offset, "length": s.length} for s in example.spans]
            region = {"regionOffset": 0, "regionLength": len(example.text), "labels": spans}
            label = {"entities": [region]}
        label = label if number < count else {}
        assets.append({"location": name_of(number), "language": "en-us"} | label)
    names = {"name"} if kind == "entities" else {example.categories[0] for example in made}
    categories = "entities" if kind == "entities" else "classes"
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": KINDS[kind],
            "storageInputContainerName": CONTAINER if project == "fitted" else "bench-none",
            "settings": {"autolabel": {"onUpload": False}},
            "projectName": project,
            "language": "en-us",
        },
        "assets": {
            "projectKind": KINDS[kind],
            categories: [{"category": name} for name in sorted(names)],
            "documents": assets,
        },
    }, [example.text for example in made]


async def prepare(api: Api, server: Server, kind: str, count: int, new: int) -> None:
    """Creates two projects: `fitted`, whose documents are registered, and `saved`."""
    file, texts = project_file("fitted", kind, count, new)
    await raw.upload(server.connection_string, CONTAINER, texts, name_of)
    await api.wait(await api.post("fitted/:import", file))
    await api.wait(await api.post("fitted/documents/:scan"))
    await api.wait(await api.post("saved/:import", project_file("saved", "single", SAVED)[0]))


async def save(api: Api, number: int) -> None:
    """Set the labels of a document by hand, with a different class each time."""
    key, category = document_id(name_of(number % SAVED)), f"class {number // SAVED % 10}"
    answer = await api.client.put(
        f"{api.projects}/saved/documents/{key}/labels",
        json={"class": {"category": category}},
        headers={"If-Match": "*"},
    )
    answer.raise_for_status()


async def health(api: Api, _: int) -> None:
    (await api.client.get(f"{api.root}/health")).raise_for_status()


async def repeat(
    times: Times, into: dict[str, list[float]], call: Callable[[int], Awaitable[None]], pause: float
) -> None:
    """Repeats the call until canceled, and records its time in the phase in which it began."""
    number = 0
    while True:
        phase, begun = times.phase, time.perf_counter()
        try:
            await call(number)
            into.setdefault(phase, []).append(1000 * (time.perf_counter() - begun))
        except httpx.HTTPError:
            times.failed += 1
        number += 1
        await asyncio.sleep(pause)


async def fit(api: Api, times: Times) -> dict[str, Any]:
    """Start a job, which begins with a fit; return the state of the fit when the job has ended."""
    job = await api.post("fitted/autolabel/jobs", {"engine": "embedded"})
    times.phase = "texts are read"
    while True:
        fits = (await api.get("fitted/autolabel/fits"))["value"]
        if fits and fits[0]["status"] not in {"notStarted", "running"}:
            times.phase = "predicting"
            await api.wait(job)
            return fits[0]
        if fits and fits[0].get("result", {}).get("trainingStatus", {}).get("percentComplete", 0) >= 50:
            times.phase = "fitting"
        await asyncio.sleep(0.25)


async def measure(server: Server, kind: str, count: int, new: int) -> None:
    """`count` documents with labels, `new` ones without."""
    api, times = Api(server), Times()
    async with api.client:
        await prepare(api, server, kind, count, new)
        for number in range(SAVED):  # so that the pages are cached
            await save(api, number)
        clients = [
            asyncio.create_task(repeat(times, times.saves, lambda number: save(api, number), SAVE_PAUSE)),
            asyncio.create_task(
                repeat(times, times.health, lambda number: health(api, number), HEALTH_PAUSE)
            ),
        ]
        await asyncio.sleep(QUIET_SECONDS)
        begun, before = time.perf_counter(), usage(server.host).cpu
        state = await fit(api, times)
        seconds, cpu = time.perf_counter() - begun, usage(server.host).cpu - before
        times.phase = "quiet again"
        await asyncio.sleep(QUIET_SECONDS)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    if state["status"] != "succeeded":
        raise RuntimeError(f"The fit ended {state['status']}: {state.get('errors')}")
    head = ("saves", "save p50", "save p95", "health p50", "health p99", "most")
    print(f"{kind}, {count + new:,} documents: {seconds:.1f} s, CPU of host and fit {cpu:.1f} s; times in ms")
    print(f"{'':<24}{head[0]:>7}" + "".join(f"{name:>13}" for name in head[1:5]) + f"{head[5]:>9}")
    if times.failed:
        print(f"{times.failed} requests failed")
    for phase in times.saves:
        print(times.line(phase))
    quiet = statistics.median(times.saves["quiet"] + times.saves.get("quiet again", []))
    for phase in ("texts are read", "fitting", *(["predicting"] if new else [])):
        if found := times.saves.get(phase):
            print(f"a save while {phase}: {statistics.median(found) / quiet:.2f} of its quiet time")
    workers = [pid for pid in children(server.host) if "shared.engines.worker" in command_line(pid)]
    for pid in workers:
        nice = os.getpriority(os.PRIO_PROCESS, pid)
        print(f"the process that fits: niceness {nice}, peak {usage(pid).peak:.0f} MiB")
    print(AIMS)


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench.during_fit", description=__doc__)
    parser.add_argument("--documents", type=int, default=3_000)
    parser.add_argument("--kind", choices=list(KINDS), default="single")
    parser.add_argument("--during", choices=("fit", "predict"), default="fit")
    arguments = parser.parse_args()
    count = arguments.documents
    with serve() as server:
        asyncio.run(
            measure(
                server, arguments.kind, *((LABELED, count) if arguments.during == "predict" else (count, 0))
            )
        )


if __name__ == "__main__":
    main()
