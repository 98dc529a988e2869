"""Events reach receivers outside: the samples, over the running host, also when it is killed."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from samples.webhook_receiver import Event as Json
from samples.webhook_receiver import Inbox, Receiver
from shared.domain.names import EventType
from shared.storage.gateways.clients import StorageClients
from shared.storage.rows import key_range, outbox_key
from shared.wire.events import Event, cloud_event
from tests.support.api import Project, client, unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET, ROOT, Host, running_host
from tests.support.receivers import SECRET, webhook_settings
from tests.support.waiting import eventually

log = logging.getLogger("tests.events")
DOCUMENTS = 1_000
#: One more, labeled by hand, for the engine to learn from.
LABELED = "labeled.txt"
SAVE = 20
SWEEPS = {"SWEEP_SCHEDULE": "*/5 * * * * *"}


@dataclass
class Seen:
    """What the webhook receiver of the samples handled; `inbox` counts repeats."""

    url: str
    inbox: Inbox
    events: list[Json] = field(default_factory=list[Json])

    def of(self, kind: str) -> list[Json]:
        return [event for event in self.events if event["type"] == f"Labelbridge.{kind}"]

    @property
    def labeled(self) -> Counter[str]:
        """How often each document was reported as labeled."""
        return Counter(
            document["id"] for event in self.of("LabelsSaved") for document in event["data"]["documents"]
        )


@contextmanager
def receiving(folder: Path) -> Iterator[Seen]:
    events: list[Json] = []
    inbox = Inbox(folder / "seen.db", events.append)
    try:
        with Receiver(0, SECRET, inbox) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield Seen(f"http://127.0.0.1:{server.server_port}/hook", inbox, events)
            finally:
                server.shutdown()
                thread.join()
    finally:
        inbox.close()


@dataclass
class Lives:
    """A host that is killed and started again; `http` calls the one that runs."""

    start: Callable[[], Awaitable[None]]
    kill: Callable[[], Awaitable[None]]
    http: httpx.AsyncClient | None = None


@asynccontextmanager
async def lives(azurite: Azurite, prefix: str, folder: Path, seen: Seen) -> AsyncIterator[Lives]:
    settings = {**SWEEPS, **{name.upper(): value for name, value in webhook_settings(seen.url).items()}}
    hosts: list[tuple[Host, AbstractContextManager[Host]]] = []

    async def start() -> None:
        running = running_host(azurite, prefix, folder, settings)
        host = running.__enter__()
        hosts.append((host, running))
        made.http = client(host.url)

    async def kill() -> None:
        host, running = hosts.pop()
        host.kill()
        running.__exit__(None, None, None)
        if made.http is not None:
            await made.http.aclose()
            made.http = None

    made = Lives(start, kill)
    try:
        await start()
        yield made
    finally:
        if hosts:
            await kill()


@pytest.mark.timeout(500)
async def test_every_event_arrives_though_the_host_is_killed_twice(azurite: Azurite, tmp_path: Path) -> None:
    """Over 1,000 documents; a save that was interrupted is looked at, and made again if it was lost."""
    prefix = unique("e").replace("-", "")[:12]
    async with azurite.storage(prefix) as clients:
        container = unique(QUIET)
        await clients.blobs.create_container(container)
        names = [LABELED, *(f"{number:04}.txt" for number in range(DOCUMENTS))]
        for start in range(0, len(names), 50):
            texts = ((name, f"@Refund:80 {name}".encode()) for name in names[start : start + 50])
            await asyncio.gather(*(clients.blobs.write(container, name, data) for name, data in texts))
        with receiving(tmp_path) as seen:
            async with lives(azurite, prefix, tmp_path, seen) as host:
                name = unique("p")
                await _suggested(_project(host, clients, name, container))
                for killed in (True, True, False):
                    await _review(host, clients, name, container, killed=killed)
                await _delivered(clients, seen)
    labeled = seen.labeled
    assert len(labeled) == DOCUMENTS + 1
    assert set(labeled.values()) == {1}, "each id was handled once, and each change has one id"
    assert {event["data"]["status"] for event in seen.of("JobFinished")} == {"succeeded"}
    [ready] = seen.of("SuggestionsReady")
    assert ready["data"]["documents"] == DOCUMENTS
    ids = Counter(event["id"] for event in seen.events)
    assert set(ids.values()) == {1}
    log.info("%d events, %d documents, %d repeats dropped", len(ids), len(labeled), seen.inbox.repeats)


def _project(host: Lives, clients: StorageClients, name: str, container: str) -> Project:
    assert host.http is not None
    return Project(host.http, clients.blobs, name, container)


async def _suggested(project: Project) -> None:
    await project.create()
    await project.registered(DOCUMENTS + 1, 150)
    await project.put_labels(LABELED, {"class": {"category": "Refund"}})
    started = await project.http.post(f"{project.path}/autolabel/jobs", json={})
    assert started.status_code == 202, started.text
    job_id = started.headers["operation-location"].split("/jobs/")[1].split("?")[0]
    job = await project.ended(f"{project.path}/autolabel/jobs/{job_id}", 150)
    assert job["result"]["outcomes"]["suggested"] == DOCUMENTS, job


async def _review(host: Lives, clients: StorageClients, name: str, container: str, *, killed: bool) -> None:
    """Accept a third of the documents, or all that are left; then the host is killed while others are saved."""
    project = _project(host, clients, name, container)
    left = await project.documents(status="autoLabeled", top=1000)
    saves = [left[start : start + SAVE] for start in range(0, len(left), SAVE)]
    if not killed:
        for save in saves:
            await _save(project, save)
        return
    third = len(saves) // 3
    for save in saves[:third]:
        await _save(project, save)
    interrupted = [asyncio.create_task(_save(project, save)) for save in saves[third : third + 4]]
    await asyncio.wait(interrupted, return_when=asyncio.FIRST_COMPLETED)
    await host.kill()
    for task in interrupted:
        with suppress(httpx.HTTPError, RuntimeError):
            await task
    await host.start()


async def _save(project: Project, documents: list[dict[str, object]]) -> None:
    decisions = [{"documentId": d["id"], "eTag": d["eTag"], "acceptAll": True} for d in documents]
    answer = await project.http.post(f"{project.path}/documents/:review", json={"decisions": decisions})
    assert answer.status_code == 200, answer.text
    assert {result["status"] for result in answer.json()["results"]} == {"saved"}


async def _delivered(clients: StorageClients, seen: Seen) -> None:
    """Until no event waits, neither for the receiver nor for a message."""
    table, (low, high) = clients.table("projects"), key_range(outbox_key())
    partitions = {"$index"}

    async def look() -> bool:
        rows = await table.query("$index", "name|", "name|~")
        partitions.update(str(row.values["incarnation"]) for row in rows)
        waiting = [await table.query(partition, low, high, select=["v"]) for partition in sorted(partitions)]
        return not any(waiting) and len(seen.labeled) == DOCUMENTS + 1

    await eventually("every event was delivered", look, 120)


@contextmanager
def function_receiver(azurite: Azurite, output: Path) -> Iterator[str]:
    """The sample function on the local host: its address."""
    command = [sys.executable, "-m", "devhost", "host", "--port", "0", "--strict", "--verbose"]
    command += ["--app", str(ROOT / "samples/event_grid_receiver"), "--no-settings-file"]
    environment = {
        **os.environ,
        "AzureWebJobsStorage": azurite.connection_string,
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureFunctionsWebHost__hostid": unique("eg").replace("-", "")[:12],
    }
    with (
        output.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("ready "), output.read_text()
            yield line.split()[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


async def test_the_sample_function_drops_repeats(azurite: Azurite, tmp_path: Path) -> None:
    """An event of the app, posted as Event Grid does: some in one request, one of them again."""
    made = Event(
        unique("id"), EventType.LABELS_SAVED, "mails", "documents", datetime.now(UTC), {"documents": []}
    )
    event, output = cloud_event(made), tmp_path / "host.log"
    with function_receiver(azurite, output) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            for events in ([event], [event, event | {"id": f"{made.id}2"}]):
                answer = await http.post(
                    "/runtime/webhooks/eventgrid?functionName=labelbridge_event",
                    content=json.dumps(events),
                    headers={
                        "aeg-event-type": "Notification",
                        "Content-Type": "application/cloudevents-batch+json",
                    },
                )
                assert answer.status_code == 202, output.read_text()
    found = re.findall(rf"(Received|Repeated) \S+ ({made.id}2?)\b", output.read_text())
    assert Counter(found) == {
        ("Received", made.id): 1,
        ("Repeated", made.id): 1,
        ("Received", f"{made.id}2"): 1,
    }


async def test_the_sample_receiver_refuses_what_is_not_signed(tmp_path: Path) -> None:
    with receiving(tmp_path) as seen:
        async with httpx.AsyncClient() as http:
            for headers in ({}, {"Labelbridge-Signature": "t=1,v1=00"}):
                answer = await http.post(seen.url, content=b"{}", headers=headers)
                assert answer.status_code == 401
    assert seen.events == []
