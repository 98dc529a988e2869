"""`make bench-memory`: peak memory of the host and of the processes that fit, while the embedded engine works.

python -m bench.engine_memory                     all steps, each with a host of its own (minutes)
python -m bench.engine_memory --only classes      those whose name has the word
python -m bench.engine_memory --together          all in one host, as in the life of an app

`at once` is the most that the processes held at one time, in samples; `sum` is that of their peaks (VmHWM).
"""

import argparse
import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench import data_sets, engines_speed, raw
from bench.api import Api
from bench.processes import children, forget_peak, sampled, usage
from bench.scenarios import LABELED, NEWS
from bench.server import BY_KEY, Server, end_on_sigterm, serve
from bench.texts import documents, name_of
from shared.domain.labels import Example
from shared.domain.names import ProjectKind
from shared.domain.text import Offsets

LANGUAGE = "en-us"
#: What a training of 100,000 documents uses, 5,000 of them to learn from.
MOST = 6_250
SINGLE, MULTI, ENTITIES = ProjectKind.SINGLE_LABEL, ProjectKind.MULTI_LABEL, ProjectKind.ENTITIES


@dataclass(frozen=True, slots=True)
class Case:
    """A project, of whose documents the first `labeled` have labels. Without `new` documents, it is trained."""

    name: str
    kind: ProjectKind
    labeled: int
    new: int
    made: Callable[[int], Sequence[Example]]


def made_up(count: int) -> Sequence[Example]:
    return [Example(text, LANGUAGE, (name,), ()) for name, text in documents(count, seed=1)]


def with_entities(count: int) -> Sequence[Example]:
    return engines_speed.documents(count, 1)


def real(name: str) -> Callable[[int], Sequence[Example]]:
    def read(count: int) -> Sequence[Example]:
        found = data_sets.read(name)
        return [*found.train, *found.test][:count]

    return read


def news(count: int) -> Sequence[Example]:
    """Those documents of the data set that have one class, as in `make bench`."""
    return [example for example in real(NEWS)(20_000) if len(example.categories) == 1][:count]


def cases() -> Iterator[Case]:
    yield Case("classes, 300 labeled, 1,000 new", SINGLE, LABELED, 1_000, made_up)
    yield Case("classes, 5,000 labeled, 1,000 new", SINGLE, 5_000, 1_000, made_up)
    yield Case("classes, training of 1,000", SINGLE, 1_000, 0, made_up)
    yield Case(f"classes, training of {MOST:,}", SINGLE, MOST, 0, made_up)
    yield Case("entities, 300 labeled, 1,000 new", ENTITIES, LABELED, 1_000, with_entities)
    yield Case("entities, 5,000 labeled, 1,000 new", ENTITIES, 5_000, 1_000, with_entities)
    yield Case("entities, training of 1,000", ENTITIES, 1_000, 0, with_entities)
    yield Case(f"entities, training of {MOST:,}", ENTITIES, MOST, 0, with_entities)
    if data_sets.is_here(NEWS):
        yield Case(f"{NEWS}, 300 labeled, 1,000 new", SINGLE, LABELED, 1_000, news)
        yield Case(f"{NEWS}, training of 1,000", MULTI, 1_000, 0, real(NEWS))
    if data_sets.is_here("bc5cdr"):
        yield Case("bc5cdr, 300 labeled, 500 new", ENTITIES, LABELED, 500, real("bc5cdr"))
        yield Case("bc5cdr, training of 1,000", ENTITIES, 1_000, 0, real("bc5cdr"))


def project_file(case: Case, name: str, made: Sequence[Example]) -> dict[str, Any]:
    """The first documents of it with labels."""
    categories = sorted({c for e in made for c in (*e.categories, *(span.category for span in e.spans))})
    labeled = made[: case.labeled]
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": case.kind,
            "storageInputContainerName": f"bench-{name}",
            "settings": {"autolabel": {"onUpload": False, "engine": "embedded"}},
            "projectName": name,
            "language": LANGUAGE,
        },
        "assets": {
            "projectKind": case.kind,
            case.kind.category_list: [{"category": category} for category in categories],
            "documents": [
                {"location": name_of(index), "language": LANGUAGE} | _labels(case.kind, example)
                for index, example in enumerate(labeled)
            ],
        },
    }


def _labels(kind: ProjectKind, example: Example) -> dict[str, Any]:
    if kind is SINGLE:
        return {"class": {"category": example.categories[0]}}
    if kind is MULTI:
        return {"classes": [{"category": category} for category in example.categories]}
    offsets, labels = Offsets(example.text), list[dict[str, Any]]()
    for span in example.spans:
        offset, length = offsets.span_to_utf16(span.offset, span.length)
        labels.append({"category": span.category, "offset": offset, "length": length})
    region = {"regionOffset": 0, "regionLength": offsets.utf16_length, "labels": labels}
    return {"entities": [region]}


async def measure(server: Server, case: Case, name: str) -> str:
    """One line; the project has the name."""
    api = Api(server)
    nothing = {"categories": ()} if case.kind is ENTITIES else {"spans": ()}  # labels of the other kind
    made = [replace(example, **nothing) for example in case.made(case.labeled + case.new)]
    async with api.client:
        await raw.upload(server.connection_string, f"bench-{name}", [e.text for e in made], name_of)
        await api.wait(await api.post(f"{name}/:import", project_file(case, name, made)))
        await api.until(name, "total", len(made))
        forget_peak(server.host)
        before = usage(server.host).cpu
        async with sampled(server.host) as memory:
            if case.new:
                await api.wait(await api.post(f"{name}/autolabel/jobs", {"engine": "embedded"}))
            else:
                await api.wait(await api.post(f"{name}/:train", {"modelLabel": "measured"}))
    host, fits = peaks(server.host)
    shown = " + ".join(f"{peak:.0f}" for peak in fits)
    taken = usage(server.host).cpu - before
    peak = f"{memory.most:>8.0f}{host + sum(fits):>8.0f}{host:>8.0f}{shown:>14}"
    return f"{case.name:<44}{peak}{taken:>8.1f}"


def peaks(host: int) -> tuple[float, list[float]]:
    """MiB of the host alone, and of each process that it started."""
    started = [usage(child).peak for child in children(host)]
    return usage(host).peak - sum(started), started


@contextmanager
def kept(together: bool) -> Iterator[Callable[[], Any]]:
    """What gives the server for a step: one for all, or one each."""
    options = f"{os.environ.get('NODE_OPTIONS', '')} {BY_KEY}"
    if not together:
        yield lambda: serve(NODE_OPTIONS=options)
        return
    with serve(NODE_OPTIONS=options) as server:

        @contextmanager
        def same() -> Iterator[Server]:
            yield server

        yield same


def run(only: str = "", *, together: bool = False) -> None:
    """Print the line of each step."""
    print(f"{'MiB':<44}{'at once':>8}{'sum':>8}{'host':>8}{'fits':>14}{'CPU s':>8}", flush=True)
    with kept(together) as server_for:
        for number, case in enumerate(cases()):
            if only in case.name:
                with server_for() as server:
                    print(asyncio.run(measure(server, case, f"memory{number}")), flush=True)


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m bench.engine_memory", description=__doc__)
    parser.add_argument("--only", default="", help="only steps whose name has this")
    parser.add_argument("--together", action="store_true", help="one host for all steps")
    arguments = parser.parse_args()
    run(arguments.only, together=arguments.together)


if __name__ == "__main__":
    main()
