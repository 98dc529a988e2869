"""The figures of one size, each compared with raw storage calls in the same run."""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import takewhile
from typing import Any
from uuid import uuid4

from bench import data_sets, raw
from bench.api import Api
from bench.costs import costs
from bench.measure import Figure, Stopwatch, watch
from bench.processes import forget_peak, sampled, usage
from bench.raw import OPERATIONS, RawStorage, each
from bench.server import Server
from bench.texts import CLASSES, documents, name_of, project_file

TABLE = "labelbridgeprojects"
COPY = "rawcopy"
CLIENTS = 16
EVENTS_AT_ONCE = 100
LISTS = 30
SAVES, TURN = 400, 20
#: The CPU seconds of an idle Azurite per second, and how long to wait for that.
IDLE_CPU, IDLE_SECONDS = 0.05, 60
EMBEDDED = 2_000
NEWS = "reuters12"
LABELED = 300
STEP_SECONDS = 1_800

type Step = tuple[Callable[[], Awaitable[Figure]], float]


class Scenarios:
    """One running product with `count` documents; the steps build on each other, in this order."""

    def __init__(self, server: Server, count: int) -> None:
        self._server = server
        self._count = count
        self._made = documents(count)
        self._api = Api(server)
        self._storage = RawStorage(server.connection_string)
        self.failed = False

    async def run(self) -> list[Figure]:
        counted = await costs(self._count)
        async with self._api.client, self._storage:
            await self._storage.create_table(COPY)
            await raw.create(self._server.connection_string, COPY)
            await self._warm_up()
            shown = [await self._shown(step, seconds) for step, seconds in self._steps()]
        figures = [figure for figure in shown if figure is not None]
        # Before the steps with the encoder and the process that fits, which stays for minutes.
        before = takewhile(lambda figure: "embedded" not in figure.name, figures)
        instant = max((figure.peak or 0 for figure in before), default=0)
        figures.append(Figure("peak memory of the host, instant engine", "MiB", instant, None, "512 MiB"))
        for figure in figures:
            found = (cost for name, cost in counted.items() if figure.name.startswith(name))
            figure.calls, figure.entities = next(found, (None, None))
        if embedded := [f.peak for f in figures if f.peak and "embedded" in f.name]:
            name = "peak memory of the host, embedded engine"
            figures.append(Figure(name, "MiB", max(embedded), None, "512 MiB"))
        return [*figures, Figure("peak memory of Azurite", "MiB", usage(self._server.azurite).peak)]

    def _steps(self) -> Iterator[Step]:
        """Each step with its maximum seconds: one that hangs ends without figures."""
        for step in (
            *(self._import, self._export, self._autolabel, self._by_events),
            *(self._list, self._save, self._clients, self._bulk, self._embedded),
            *((self._news,) if data_sets.is_here(NEWS) else ()),
        ):
            yield step, STEP_SECONDS

    async def _warm_up(self) -> None:
        """The first call of a service imports what it needs and creates its table, queues and container."""
        await self._api.wait(
            await self._api.post("warm/:import", project_file("warm", "bench-missing", [CLASSES[0]]))
        )
        state = await self._api.wait(await self._api.post("warm/:export", stringIndexType="Utf16CodeUnit"))
        await self._api.client.get(state["resultUrl"], params=None)

    async def _shown(self, step: Callable[[], Awaitable[Figure]], seconds: float) -> Figure | None:
        """Print the result of a step when it ends, because a large size takes minutes. None: it failed."""
        started = time.perf_counter()
        forget_peak(self._server.host)
        try:
            async with asyncio.timeout(seconds), sampled(self._server.host) as memory:
                figure = await step()
        except Exception as error:  # noqa: BLE001 - the other figures are still valid
            print(
                f"{self._count:,}: the step {getattr(step, '__name__', '')} failed after "
                f"{time.perf_counter() - started:.0f} s: {type(error).__name__}: {error}",
                file=sys.stderr,
                flush=True,
            )
            self.failed = True
            return None
        figure.peak, figure.held = usage(self._server.host).peak, memory.most
        took = time.perf_counter() - started
        by_hand = "" if figure.raw is None else f", raw {figure.raw:,.4g}"
        print(
            f"{self._count:,}: {figure.name}: {figure.value:,.4g} {figure.unit}{by_hand}; "
            f"peak {figure.peak:.0f} MiB, {figure.held:.0f} at once; the step took {took:.0f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        return figure

    def _watch(self) -> AbstractContextManager[Stopwatch]:
        return watch(self._server.host, self._server.azurite)

    async def _rows(self, project: str, kind: str) -> list[dict[str, Any]]:
        """The stored rows of a project whose keys begin with `kind`."""
        index = await self._storage.row(TABLE, "$index", f"name|{project}")
        return [
            _plain(row) for row in await self._storage.rows(TABLE, index["incarnation"], kind, f"{kind}~")
        ]

    async def _rewrite(self, rows: list[dict[str, Any]], concurrency: int = 8) -> Stopwatch:
        """Write the rows with raw calls, in transactions."""
        groups = [rows[i : i + OPERATIONS] for i in range(0, len(rows), OPERATIONS)]
        with self._watch() as by_hand:
            await each(groups, lambda group: self._storage.commit(COPY, group), concurrency)
        return by_hand

    async def _read(self, container: str, count: int) -> Stopwatch:
        """Read this many blobs with raw calls."""
        with self._watch() as by_hand:
            await each(range(count), lambda i: self._storage.read(container, name_of(i)))
        return by_hand

    async def _import(self) -> Figure:
        """Without a container there is nothing to register, so rows are written and nothing else."""
        file = project_file("labels", "bench-missing", [label for label, _ in self._made])
        with self._watch() as taken:
            await self._api.wait(await self._api.post("labels/:import", file))
        rows = [row for kind in ("page|", "head|", "history|") for row in await self._rows("labels", kind)]
        by_hand = await self._rewrite(rows)
        return taken.rate("import", self._count, by_hand, "0.80 of raw, 7,500/s")

    async def _export(self) -> Figure:
        with self._watch() as taken:
            state = await self._api.wait(
                await self._api.post("labels/:export", stringIndexType="Utf16CodeUnit")
            )
            answer = await self._api.client.get(state["resultUrl"], params=None)
        found = len(answer.json()["assets"]["documents"])
        if found != self._count:
            raise RuntimeError(f"The export has {found} documents, not {self._count}.")
        index = await self._storage.row(TABLE, "$index", "name|labels")
        with self._watch() as by_hand:
            await self._storage.rows(TABLE, index["incarnation"], "page|", "page~")
            await self._storage.write(COPY, "export.json", answer.content)
            await self._storage.read(COPY, "export.json")
        return taken.rate("export", self._count, by_hand, "0.80 of raw, 15,000/s")

    async def _autolabel(self) -> Figure:
        """All documents are registered; one request gets suggestions from an engine that answers immediately."""
        texts = [text for _, text in self._made]
        await raw.upload(self._server.connection_string, "bench-http", texts, name_of)
        file = project_file("http", "bench-http", [CLASSES[0]], autolabel={"onUpload": False})
        await self._api.wait(await self._api.post("http/:import", file))
        await self._api.until("http", "total", self._count)
        by_hand = await self._read("bench-http", self._count)
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/autolabel/jobs"))
        done = (await self._api.counts("http"))["autoLabeled"]
        if done != self._count - 1:
            raise RuntimeError(f"{done} of {self._count - 1} documents have suggestions.")
        await raw.delete(self._server.connection_string, "bench-http")
        return taken.rate("autolabel by HTTP, instant engine", self._count, by_hand, "0.80 of raw reads")

    async def _by_events(self) -> Figure:
        """Events are sent as fast as the app accepts them, until the last document has a suggestion."""
        count = self._count
        texts = [text for _, text in self._made[:count]]
        # The import scans the container, which has only the labeled document, so all others come by events.
        file = project_file("events", "bench-events", [CLASSES[0]], autolabel={"onUpload": True})
        await raw.upload(self._server.connection_string, "bench-events", texts[:1], name_of)
        await self._api.wait(await self._api.post("events/:import", file))
        await self._api.wait(await self._api.post("events/documents/:scan"))
        # As in normal use, there is a model: a first upload has a suggestion.
        await raw.upload(self._server.connection_string, "bench-events", texts[1:2], name_of, first=1)
        await self._api.notify("bench-events", [name_of(1)])
        await self._api.until("events", "autoLabeled", 1)
        await raw.upload(self._server.connection_string, "bench-events", texts[2:], name_of, first=2)

        async def insert_and_read(index: int) -> None:
            await self._storage.insert(
                COPY, {"PartitionKey": "events", "RowKey": str(index), "l": name_of(index)}
            )
            await self._storage.read("bench-events", name_of(index))

        with self._watch() as by_hand:
            await each(range(count), insert_and_read)
        if (counts := (await self._api.counts("events"))["autoLabeled"]) != 1:
            raise RuntimeError(f"{counts} documents have suggestions before their events.")
        groups = [range(i, min(i + EVENTS_AT_ONCE, count)) for i in range(2, count, EVENTS_AT_ONCE)]
        with self._watch() as taken:
            await each(groups, lambda group: self._api.notify("bench-events", [name_of(i) for i in group]), 4)
            await self._api.until("events", "autoLabeled", count - 1)
        await raw.delete(self._server.connection_string, "bench-events")
        name = "autolabel by events, instant engine"
        return taken.rate(name, count, by_hand, "0.80 of raw read + insert")

    async def _list(self) -> Figure:
        index = await self._storage.row(TABLE, "$index", "name|http")

        async def read_heads() -> None:
            await self._storage.rows(TABLE, index["incarnation"], "head|", "head~")

        async def ours() -> None:
            await self._api.get("http/documents", status="autoLabeled", orderby="uncertainty", top=100)

        raw_ms, by_hand = await self._times(LISTS // 3, read_heads)
        value, taken = await self._times(LISTS, ours)
        figure = Figure("first 100 by uncertainty, p50", "ms", value, raw_ms, "40 ms", "list")
        taken.record_cpu(figure, LISTS, by_hand, LISTS // 3)
        return figure

    async def _times(self, count: int, call: Callable[[], Awaitable[object]]) -> tuple[float, Stopwatch]:
        """Median milliseconds of sequential calls; the first does not count."""
        await call()
        times, taken = await self._each_time(count, call)
        return statistics.median(times), taken

    async def _each_time(
        self, count: int, call: Callable[[], Awaitable[object]]
    ) -> tuple[list[float], Stopwatch]:
        times: list[float] = []
        with self._watch() as taken:
            for _ in range(count):
                started = time.perf_counter()
                await call()
                times.append(1000 * (time.perf_counter() - started))
        return times, taken

    async def _decisions(self, count: int) -> list[dict[str, Any]]:
        found = await self._api.get("http/documents", status="autoLabeled", top=count)
        return [{"documentId": d["id"], "eTag": d["eTag"], "acceptAll": True} for d in found["value"]]

    async def _accept(self, decision: dict[str, Any]) -> None:
        body = {"decisions": [decision]}
        answer = await self._api.post_by(self._storage.http, "http/documents/:review", body)
        if answer["results"][0]["status"] != "saved":
            raise RuntimeError(f"A save was refused: {answer}")

    async def _saves_by_hand(self) -> Callable[[], Awaitable[None]]:
        """The two calls of a save: read a page, and commit it with its head and a history row.

        The partition is a copy, as large as the product's, because Azurite searches the whole partition for a row.
        """
        await self._rewrite(await self._rows("http", ""))
        pages, heads = await self._rows("http", "page|"), await self._rows("http", "head|")
        pairs = iter([*zip(pages, heads, strict=False)] * 100)

        async def save() -> None:
            page, head = next(pairs)
            found = await self._storage.row(COPY, page["PartitionKey"], page["RowKey"])
            history = {
                "PartitionKey": page["PartitionKey"],
                "RowKey": f"history|hand|{uuid4()}",
                "d": "x" * 120,
            }
            await self._storage.commit(COPY, [page, head, history], etag=found["odata.etag"], new=1)

        return save

    async def _save(self) -> Figure:
        """Alternates with raw saves, so that both have the same state of Azurite."""
        save = await self._saves_by_hand()
        count = min(SAVES, self._count // 5)
        decisions = iter(await self._decisions(count + 1))
        await self._idle()
        await save()
        await self._accept(next(decisions))
        taken, by_hand = Stopwatch(), Stopwatch()
        raw_times, times = list[float](), list[float]()
        turn = min(TURN, count)
        for _ in range(count // turn):
            theirs, watched = await self._each_time(turn, save)
            raw_times += theirs
            by_hand.add(watched)
            ours, watched = await self._each_time(turn, lambda: self._accept(next(decisions)))
            times += ours
            taken.add(watched)
        value, raw_value = statistics.median(times), statistics.median(raw_times)
        figure = Figure("save of one decision, p50", "ms", value, raw_value, "1.5 x raw", "save")
        taken.record_cpu(figure, len(times), by_hand, len(raw_times))
        return figure

    async def _idle(self) -> None:
        """Wait until Azurite has finished the background work of earlier steps: deletions, and storing its tables."""
        for _ in range(IDLE_SECONDS):
            with self._watch() as taken:
                await asyncio.sleep(1)
            if taken.azurite < IDLE_CPU:
                return

    async def _clients(self) -> Figure:
        count = min(60 * CLIENTS, self._count // 2)
        save = await self._saves_by_hand()
        with self._watch() as by_hand:
            await each(range(count), lambda _: save(), CLIENTS)
        decisions = await self._decisions(count)
        with self._watch() as taken:
            await each(decisions, self._accept, CLIENTS)
        return taken.rate(f"saves of {CLIENTS} clients", count, by_hand, "0.70 of raw", "save")

    async def _bulk(self) -> Figure:
        pages, heads = await self._rows("http", "page|"), await self._rows("http", "head|")
        waiting = (await self._api.counts("http"))["autoLabeled"]
        history = [
            {"PartitionKey": p["PartitionKey"], "RowKey": f"h|{p['RowKey']}", "d": "x" * 900} for p in pages
        ]
        by_hand = await self._rewrite([*pages, *heads, *history])
        with self._watch() as taken:
            accepted = await self._api.post("http/documents/:review-all", {"decision": "accept"})
            await self._api.wait(accepted)
        if (await self._api.counts("http"))["autoLabeled"]:
            raise RuntimeError("Suggestions are left after the bulk decision.")
        return taken.rate("bulk accept", waiting, by_hand, "7,500/s")

    async def _embedded(self) -> Figure:
        """New texts with the embedded engine, including the fit on 300 labeled documents."""
        made = documents(LABELED + min(self._count, EMBEDDED), seed=1)
        return await self._new_texts(
            "embedded", "autolabel, embedded engine, with fit", made, CLASSES, "200/s"
        )

    async def _news(self) -> Figure:
        """The same with real texts: documents of a data set that have one class."""
        found = data_sets.read(NEWS)
        examples = [e for e in (*found.train, *found.test) if len(e.categories) == 1]
        made = [(e.categories[0], e.text) for e in examples][: LABELED + self._count]
        categories = sorted({category for category, _ in made})
        return await self._new_texts(NEWS, f"autolabel, embedded engine, {NEWS}", made, categories, "")

    async def _new_texts(
        self, project: str, name: str, made: Sequence[tuple[str, str]], categories: Sequence[str], aim: str
    ) -> Figure:
        count, container = len(made) - LABELED, f"bench-{project}"
        await raw.upload(self._server.connection_string, container, [text for _, text in made], name_of)
        labels: list[str | None] = [label for label, _ in made[:LABELED]]
        file = project_file(project, container, labels, categories, autolabel={"onUpload": False})
        await self._api.wait(await self._api.post(f"{project}/:import", file))
        await self._api.until(project, "total", len(made))
        by_hand = await self._read(container, len(made))  # the labeled texts, too: the fit reads them
        with self._watch() as taken:
            await self._api.wait(await self._api.post(f"{project}/autolabel/jobs", {"engine": "embedded"}))
        await self._require_suggestions(project, count)
        return taken.rate(name, count, by_hand, aim)

    async def _require_suggestions(self, project: str, count: int, before: int = 0) -> None:
        """A few texts may have no suggestion that is sure enough. `before`: documents that had suggestions already."""
        done = (await self._api.counts(project))["autoLabeled"] - before
        if done < count * 0.9:
            raise RuntimeError(f"{done} of {count} documents have suggestions.")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.startswith("odata.") and key != "Timestamp"}
