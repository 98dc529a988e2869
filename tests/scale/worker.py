"""One piece of work at full size, in a process of its own, so that its memory can be measured.

    python -m tests.scale.worker transfer <connection string> <prefix> <container> <file>
    python -m tests.scale.worker train <kind> <documents>

Prints one JSON object: what it found, seconds, and the greatest resident memory in MiB.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from shared.domain.document import document_id
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.names import Names, ProjectKind
from shared.engines.registry import local_engines
from shared.runtime.container import Container
from shared.services.jobs.lifecycle import JobMessage
from shared.services.jobs.stores import build
from shared.services.training.service import TrainRequest
from shared.storage.gateways.clients import Account, StorageClients, StorageNames
from tests.support.services import result_json, settings
from tests.support.storage.memory import MemoryStorage

INTENTS = {
    "card lost": (
        "My card is gone",
        "I cannot find my card",
        "someone stole my card",
        "please block the card",
    ),
    "refund": ("I want my money back", "refund the payment", "the shop owes me", "return my money"),
    "transfer": ("send money abroad", "the transfer is late", "where is my transfer", "a transfer failed"),
    "pin": ("I forgot the PIN", "change my PIN", "the PIN is blocked", "a new PIN please"),
    "fees": ("why this fee", "a charge that I do not know", "fees for cash", "how much is a withdrawal"),
}
FILLER = "please today again since Monday my account number bank app phone thank you hello help still not now".split()


def memory() -> int:
    """MiB that this program had resident at most.

    Not `ru_maxrss`: that outlives exec, and so begins with the size of the test process that started us.
    """
    peak = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(peak.split()[1]) // 1024


async def transfer(connection: str, prefix: str, container: str, file: str) -> dict[str, Any]:
    """Import a file and export the project again."""
    clients = StorageClients(Account.from_connection_string(connection), names=StorageNames(prefix))
    stores = build(Names(prefix), clients.table("projects"), clients.blobs, clients.queues)
    app = Container(settings(), stores, {})
    try:
        started = time.monotonic()
        body = Path(file).read_bytes()  # noqa: ASYNC240 - nothing else runs yet
        await app.imports.start("big", body, "scale", "import")
        del body
        job = await _ended(lambda: app.imports.get("big", "import"))
        imported = time.monotonic()
        await app.exports.start("big", "export")
        exported = await _ended(lambda: app.exports.get("big", "export"))
        done = time.monotonic()
        result, _ = await app.exports.result("big", "export")
        return {
            "import": job.status,
            "export": exported.status,
            "documents": result_json(job)["documents"],
            "exported": result.count(b'{"location"'),
            "labels": result.count(b'"offset"'),
            "importSeconds": imported - started,
            "exportSeconds": done - imported,
            "container": container,
        }
    finally:
        await clients.close()


async def _ended(look: Callable[[], Awaitable[Job]]) -> Job:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        job = await look()
        if job.status.ended:
            return job
        await asyncio.sleep(0.2)
    raise TimeoutError("The job has not ended.")


async def train(kind: str, documents: str) -> dict[str, Any]:
    """Train the embedded engine on generated texts of a bank, all labeled."""
    storage = MemoryStorage()
    stores = build(Names("labelbridge"), storage.table("projects"), storage.blobs, storage.queues)
    app = Container(settings(default_engine="embedded"), stores, dict(local_engines()))
    await storage.blobs.create_container("docs")
    file = await _labeled_texts(storage, ProjectKind(kind), int(documents))
    await app.imports.start("bank", json.dumps(file).encode(), "scale", "import")
    await _ended(lambda: app.imports.get("bank", "import"))
    project = await app.projects.get("bank")
    started = time.monotonic()
    job = await app.training.start("bank", TrainRequest("m1"), "train")
    accepted = time.monotonic()
    message = JobMessage(project="bank", incarnation=project.incarnation, kind=JobKind.TRAIN, job=job.id)
    await app.dispatcher.run(message)
    ended = await app.training.get("bank", "train")
    summary = (
        json.loads(await app.trained_models.summary("bank", "m1"))
        if ended.status is JobStatus.SUCCEEDED
        else {}
    )
    evaluation: dict[str, Any] = next((v for k, v in summary.items() if k.endswith("Evaluation")), {})
    return {
        "status": ended.status,
        "errors": [error.message for error in ended.errors],
        "microF1": evaluation.get("microF1"),
        "acceptedSeconds": accepted - started,
        "seconds": time.monotonic() - accepted,
    }


async def _labeled_texts(storage: MemoryStorage, kind: ProjectKind, documents: int) -> dict[str, Any]:
    draw = random.Random(7)
    made: list[dict[str, Any]] = []
    for number in range(documents):
        intent = draw.choice(list(INTENTS))
        words = [*draw.sample(FILLER, 4), draw.choice(INTENTS[intent]), *draw.sample(FILLER, 5)]
        amount = f"{draw.randint(1, 999)} {draw.choice(('EUR', 'USD'))}"
        text = f"{' '.join(words)}, {amount} on day {draw.randint(1, 28)}."
        location = f"{document_id(str(number))}.txt"
        await storage.blobs.write("docs", location, text.encode())
        label: dict[str, Any] = {"class": {"category": intent}}
        if kind is ProjectKind.ENTITIES:
            entity = {"category": "Amount", "offset": text.index(amount), "length": len(amount)}
            label = {"entities": [{"regionOffset": 0, "regionLength": len(text), "labels": [entity]}]}
        made.append({"location": location, "language": "en-us", "dataset": "Train", **label})
    listed = "entities" if kind is ProjectKind.ENTITIES else "classes"
    names = ["Amount"] if kind is ProjectKind.ENTITIES else list(INTENTS)
    return {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": kind.value,
            "storageInputContainerName": "docs",
            "projectName": "bank",
            "language": "en-us",
            "settings": {"autolabel": {"onUpload": False}},
        },
        "assets": {
            "projectKind": kind.value,
            listed: [{"category": name} for name in names],
            "documents": made,
        },
    }


if __name__ == "__main__":
    work, *arguments = sys.argv[1:]
    found = asyncio.run({"transfer": transfer, "train": train}[work](*arguments))
    print(json.dumps(found | {"memory": memory()}))  # noqa: T201 - what the test reads
