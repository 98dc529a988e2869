"""Autolabeling with an engine that answers at once: over HTTP and by events, as ratios to raw storage."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from bench import raw
from bench.server import KEY, Server

TOPIC = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local"
    "/providers/Microsoft.Storage/storageAccounts/devstoreaccount1"
)
EVENTS_AT_ONCE = 100
POSTS_AT_ONCE = 4
LIMIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate of ours and of raw storage, in documents a second, and the ratio that is asked for."""

    name: str
    ours: float
    baseline: float
    floor: float

    @property
    def ratio(self) -> float:
        return self.ours / self.baseline


class Api:
    """The little of the HTTP API that is measured."""

    def __init__(self, server: Server) -> None:
        self.projects = f"{server.base}/language/authoring/analyze-text/projects"
        self.root = server.base
        headers = {"Ocp-Apim-Subscription-Key": KEY}
        params = {"api-version": "2023-04-15-preview"}
        self.client = httpx.AsyncClient(headers=headers, params=params, timeout=120)

    async def import_project(self, name: str, container: str, *, on_upload: bool) -> None:
        """A project with two classes and one labeled document whose blob does not exist."""
        kind = "CustomSingleLabelClassification"
        file = {
            "projectFileVersion": "2022-05-01",
            "stringIndexType": "Utf16CodeUnit",
            "metadata": {
                "projectKind": kind,
                "storageInputContainerName": container,
                "settings": {"autolabel": {"onUpload": on_upload}},
                "projectName": name,
                "language": "en-us",
            },
            "assets": {
                "projectKind": kind,
                "classes": [{"category": "First"}, {"category": "Second"}],
                "documents": [
                    {"location": raw.name_of(0), "language": "en-us", "class": {"category": "First"}}
                ],
            },
        }
        await self.wait(await self.client.post(f"{self.projects}/{name}/:import", json=file))

    async def wait(self, accepted: httpx.Response, seconds: float = LIMIT_SECONDS) -> dict[str, Any]:
        accepted.raise_for_status()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = (await self.client.get(accepted.headers["operation-location"], params=None)).json()
            if state["status"] not in {"notStarted", "running"}:
                if state["status"] != "succeeded":
                    raise RuntimeError(f"A job ended {state['status']}: {state.get('errors')}")
                return state
            await asyncio.sleep(0.05)
        raise TimeoutError("A job did not end.")

    async def counts(self, name: str) -> dict[str, int]:
        return (await self.client.get(f"{self.projects}/{name}/statistics")).json()["documents"]

    async def until(self, name: str, status: str, count: int, seconds: float = LIMIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (await self.counts(name))[status] >= count:
                return
            await asyncio.sleep(0.2)
        raise TimeoutError(f"Only {await self.counts(name)} instead of {count} {status}.")

    async def start(self, name: str) -> httpx.Response:
        return await self.client.post(f"{self.projects}/{name}/autolabel/jobs", json={})


async def over_http(server: Server, api: Api, texts: list[str]) -> Figure:
    """All documents are registered; one POST labels them."""
    count = len(texts)
    await raw.upload(server.connection_string, "bench-http", texts)
    await api.import_project("http", "bench-http", on_upload=False)
    await api.until("http", "total", count)
    baseline = await raw.read_rate(server.connection_string, "bench-http", count)
    started = time.perf_counter()
    await api.wait(await api.start("http"))
    rate = count / (time.perf_counter() - started)
    done = (await api.counts("http"))["autoLabeled"]
    if done != count - 1:
        raise RuntimeError(f"{done} of {count - 1} documents were labeled.")
    return Figure("autolabel, started over HTTP / raw blob reads", rate, baseline, 0.6)


async def by_events(server: Server, api: Api, texts: list[str]) -> Figure:
    """Events come as fast as the app takes them; the clock stops when the last document has its suggestion."""
    count = len(texts)
    await api.import_project("events", "bench-events", on_upload=True)
    await raw.upload(server.connection_string, "bench-events", texts)
    baseline = await raw.read_and_insert_rate(server.connection_string, "bench-events", count)
    started = time.perf_counter()
    groups = range(0, count, EVENTS_AT_ONCE)
    limit = asyncio.Semaphore(POSTS_AT_ONCE)

    async def post(first: int) -> None:
        async with limit:
            events = [
                _event("bench-events", raw.name_of(i))
                for i in range(first, min(first + EVENTS_AT_ONCE, count))
            ]
            url = f"{api.root}/runtime/webhooks/EventGrid"
            answer = await api.client.post(
                url,
                json=events,
                params={"functionName": "storage_event"},
                headers={"aeg-event-type": "Notification"},
            )
            answer.raise_for_status()

    await asyncio.gather(*(post(first) for first in groups))
    taken = time.perf_counter() - started
    await api.until("events", "autoLabeled", count - 1)
    rate = count / (time.perf_counter() - started)
    print(f"  (events taken: {count / taken:,.0f}/s)")
    return Figure("autolabel, by events / raw (read + insert)", rate, baseline, 0.6)


def _event(container: str, name: str) -> dict[str, Any]:
    return {
        "topic": TOPIC,
        "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": f"{container}-{name}",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {"api": "PutBlob", "contentType": "text/plain", "blobType": "BlockBlob", "url": ""},
        "dataVersion": "",
        "metadataVersion": "1",
    }
