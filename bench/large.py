"""100,000 documents, the maximum of a project: one project, through all operations.

Azurite must find rows and blobs by their names, as Azure does, and gets most of the blobs before it starts
(`bench/many_blobs.py`): otherwise this would take hours. Raw rates of reading come from a sample.
"""

from collections.abc import Iterator
from typing import Any, override

from azure.storage.blob.aio import BlobServiceClient

from bench import raw
from bench.api import Api
from bench.measure import Figure, Stopwatch
from bench.processes import sampled, suspended
from bench.raw import each
from bench.scenarios import EVENTS_AT_ONCE, LABELED, Scenarios, Step
from bench.server import host_on
from bench.texts import CLASSES, documents, name_of, project_file
from shared.services.training.model_cache import MAX_EXAMPLES

CONTAINER = "bench-large"
#: One of ten, and one of fifty documents are uploaded later: for the step with events, and for the one with new texts.
EVENTS, NEW = 10, 50
SAMPLE = 5_000
#: Calls of a search, each over 300 documents.
SEARCHES = 20
RENAMED = "Shipping"


def registered(count: int) -> int:
    """How many documents are in the container when the project is created."""
    return count - count // EVENTS - count // NEW


def texts(count: int) -> list[str]:
    """The texts of the documents that are in the container when the project is created."""
    return [text for _, text in documents(count)[: registered(count)]]


class Large(Scenarios):
    """The steps with one large project, `http`, to which documents are added until it has `count`."""

    @override
    def _steps(self) -> Iterator[Step]:
        yield from ((self._import, 600), (self._export, 300))
        yield from ((self._register, 1_500), (self._scan, 900), (self._autolabel, 1_500))
        yield from ((self._by_events, 1_200), (self._list, 300), (self._save, 600), (self._clients, 300))
        yield from ((self._search, 300), (self._bulk, 900), (self._undo, 900), (self._rename, 600))
        yield from ((self._export_labels, 300), (self._embedded, 900), (self._train_alone, 1_500))
        yield from (
            (self._train, 1_500),
            (self._evaluate, 900),
            (self._import_over, 900),
            (self._delete, 600),
        )

    async def _register(self) -> Figure:
        """The container is listed, and each of its blobs read and registered. Some documents have labels."""
        count = registered(self._count)
        async with BlobServiceClient.from_connection_string(self._server.connection_string) as service:
            with self._watch() as by_hand:
                async for _ in service.get_container_client(CONTAINER).list_blob_names():
                    pass
        by_hand.add(await self._reads(count))
        labels: list[str | None] = [label for label, _ in self._made[:LABELED]]
        file = project_file("http", CONTAINER, labels, autolabel={"onUpload": False})
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/:import", file))
            await self._api.until("http", "total", count)
        return taken.rate("registration of a container", count, by_hand)

    async def _reads(self, count: int) -> Stopwatch:
        """What raw calls that read this many blobs take, from a sample."""
        sample = min(SAMPLE, registered(self._count))
        return (await self._read(CONTAINER, sample)).times(count / sample)

    async def _scan(self) -> Figure:
        count = registered(self._count)
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/documents/:scan"))
        return taken.rate("scan of a registered container", count)

    @override
    async def _autolabel(self) -> Figure:
        count = registered(self._count)
        by_hand = await self._reads(count)
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/autolabel/jobs"))
        await self._require("autoLabeled", count - LABELED)
        return taken.rate("autolabel by HTTP, instant engine", count, by_hand, "0.80 of raw reads")

    async def _require(self, status: str, count: int) -> None:
        counts = await self._api.counts("http")
        if counts[status] != count:
            raise RuntimeError(f"{counts}: not {count} {status}.")

    async def _upload(self, first: int, count: int) -> None:
        made = [text for _, text in self._made[first : first + count]]
        await raw.upload(self._server.connection_string, CONTAINER, made, name_of, first=first)

    async def _set(self, **autolabel: object) -> None:
        answer = await self._api.client.patch(
            f"{self._api.projects}/http", json={"settings": {"autolabel": autolabel}}
        )
        answer.raise_for_status()

    @override
    async def _by_events(self) -> Figure:
        """Events of further uploads, until each has a suggestion."""
        count, first = self._count // EVENTS, registered(self._count)
        await self._upload(first, count)
        await self._set(onUpload=True)
        groups = [range(i, min(i + EVENTS_AT_ONCE, first + count)) for i in range(first, first + count, 100)]
        with self._watch() as taken:
            await each(groups, lambda group: self._api.notify(CONTAINER, [name_of(i) for i in group]), 4)
            await self._api.until("http", "autoLabeled", first + count - LABELED)
        await self._set(onUpload=False)
        return taken.rate(f"autolabel by events, instant engine, {count:,} further uploads", count)

    async def _search(self) -> Figure:
        """A text that no document has, so that each call reads the maximum."""
        body: dict[str, Any] = {"text": "no such words"}
        with self._watch() as taken:
            for _ in range(SEARCHES):
                answer = await self._api.post("http/documents/:search", body)
                found = answer.json()
                if not (token := found.get("continuationToken")):
                    break
                body["continuationToken"] = token
        return taken.rate("search, documents read", found["searched"])

    async def _undo(self) -> Figure:
        """Undo of the bulk decision, which is then repeated."""
        jobs = (await self._api.get("http/review/jobs"))["value"]
        with self._watch() as taken:
            answer = await self._api.post(f"http/review/jobs/{jobs[0]['jobId']}/:undo")
            undone = (await self._api.wait(answer))["result"]["undone"]
        await self._api.wait(await self._api.post("http/documents/:review-all", {"decision": "accept"}))
        return taken.rate("undo of the bulk decision", undone)

    async def _rename(self) -> Figure:
        """Every document with a label of the category is written."""
        used = (await self._api.get("http/statistics"))["categories"]
        count = sum(entry["labels"] for entry in used if entry["category"] == CLASSES[0])
        body = {"value": [{"category": RENAMED, "previousCategory": CLASSES[0]}]}
        with self._watch() as taken:
            answer = await self._api.client.put(f"{self._api.projects}/http/categories", json=body)
            answer.raise_for_status()
        return taken.rate("rename of a category", count)

    async def _export_labels(self) -> Figure:
        found = 0
        with self._watch() as taken:
            state = await self._api.wait(
                await self._api.post("http/:export", stringIndexType="Utf16CodeUnit")
            )
            content = (await self._api.client.get(state["resultUrl"], params=None)).content
        found = content.count(b'"class"')
        return taken.rate("labels, export", found)

    @override
    async def _embedded(self) -> Figure:
        """New texts, including a fit on the project's labels."""
        first, count = self._count - self._count // NEW, self._count // NEW
        await self._upload(first, count)
        await self._api.wait(await self._api.post("http/documents/:scan"))
        await self._api.until("http", "total", self._count)
        before = (await self._api.counts("http"))["autoLabeled"]
        by_hand = await self._reads(count + min(MAX_EXAMPLES, first))  # the fit reads labeled ones
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/autolabel/jobs", {"engine": "embedded"}))
        await self._require_suggestions("http", count, before)
        return taken.rate(f"autolabel, embedded engine, with fit, {count:,} new texts", count, by_hand)

    async def _train_alone(self) -> Figure:
        """In a host of its own, as on an instance of Azure that only fits; the other host stands still meanwhile."""
        await self._set(engine="embedded")
        await self._idle()  # so that the other host loses no lease
        with suspended(self._server.host), host_on(self._server.connection_string) as own:
            api = Api(own)
            async with api.client, sampled(own.host) as memory:
                await api.wait(await api.post("http/:train", {"modelLabel": "alone"}))
        return Figure(
            "training and evaluation in a host of its own, at once",
            "MiB",
            memory.most,
            None,
            "512 MiB",
            "training",
        )

    async def _train(self) -> Figure:
        await self._set(engine="embedded")
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/:train", {"modelLabel": "large"}))
        name = "training and evaluation, embedded engine"
        return Figure(name, "s", taken.seconds, per="training", host_cpu=1000 * taken.host)

    async def _evaluate(self) -> Figure:
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/models/large/:evaluate"))
        name = "evaluation, embedded engine"
        return Figure(name, "s", taken.seconds, per="evaluation", host_cpu=1000 * taken.host)

    async def _import_over(self) -> Figure:
        """A project file with labels for all documents, over the project; everything is registered by then."""
        labels: list[str | None] = [label for label, _ in self._made]
        file = project_file("http", CONTAINER, labels, autolabel={"onUpload": False})
        with self._watch() as taken:
            await self._api.wait(await self._api.post("http/:import", file))
        return taken.rate("project file over the project", self._count)

    async def _delete(self) -> Figure:
        with self._watch() as taken:
            answer = await self._api.client.delete(f"{self._api.projects}/http")
            answer.raise_for_status()
            await self._api.wait(answer)
        return taken.rate("deletion of the project", self._count)
