"""Queue messages: a repeat changes nothing, and invalid messages stop neither the host nor other work (rule A6)."""

import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import partial

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from shared.domain.jobs import JobKind
from shared.domain.names import BATCH_QUEUE, QUEUES, WORK_QUEUE
from shared.services.jobs.lifecycle import BatchMessage
from shared.storage.gateways.clients import StorageClients
from tests.integration.conftest import MakeProject
from tests.support.api import Project, unique
from tests.support.azurite import Azurite
from tests.support.hosts import Host
from tests.support.waiting import eventually

type Stored = tuple[str, dict[str, object]]

GARBAGE = {
    "empty": "",
    "not base64": "!not base64!",
    "not JSON": base64.b64encode(b"{").decode(),
    "not UTF-8": base64.b64encode(b"\xff\xfe\xfd").decode(),
    "a list": base64.b64encode(b"[]").decode(),
    "null": base64.b64encode(b"null").decode(),
    "an unknown version": base64.b64encode(b'{"v":99,"project":"p","incarnation":"i"}').decode(),
    "missing fields": base64.b64encode(b'{"v":1}').decode(),
    "wrong types": base64.b64encode(
        b'{"v":1,"project":5,"incarnation":[],"kind":{},"job":null,"number":"x","id":1}'
    ).decode(),
    "an unknown project": base64.b64encode(
        b'{"v":1,"project":"no-such","incarnation":"none","kind":"autolabel","job":"j","number":0,"id":"x"}'
    ).decode(),
    "an unknown kind": base64.b64encode(
        b'{"v":1,"project":"no-such","incarnation":"none","kind":"nonsense","job":"j","number":0,"id":"x"}'
    ).decode(),
    "keys that no table takes": base64.b64encode(
        b'{"v":1,"project":"a/b","incarnation":"x\\u0001?#/","kind":"autolabel","job":"a/b","number":0,"id":"/"}'
    ).decode(),
    "64 KiB": "A" * 65_536,
}


@pytest.fixture
async def queues(azurite: Azurite) -> AsyncIterator[QueueServiceClient]:
    async with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        yield service


async def _is_empty(queue: QueueClient) -> bool:
    """Whether no message waits or is being worked on: the host has dealt with all of them."""
    return (await queue.get_queue_properties()).approximate_message_count == 0


async def _has_taken(queue: QueueClient, texts: Iterable[str]) -> bool:
    """Whether none of these messages waits any more. (Messages that are delayed on purpose may.)"""
    waiting = {str(message.content) for message in await queue.peek_messages(32)}
    return not waiting.intersection(texts)


async def rows(storage: StorageClients, incarnation: str) -> dict[str, Stored]:
    """Every row of the project, byte for byte."""
    found = await storage.table("projects").query(incarnation)
    return {row.key: (row.etag, dict(row.values)) for row in found}


async def _incarnation(storage: StorageClients, project: Project) -> str:
    row = await storage.table("projects").get("$index", f"name|{project.name}")
    assert row is not None
    return str(row.values["incarnation"])


async def test_a_batch_of_a_finished_job_changes_not_one_byte(
    new_project: MakeProject, storage: StorageClients, queues: QueueServiceClient, host: Host
) -> None:
    project = await new_project()
    texts = {f"{n}.txt": f"@Refund:{n} number {n}" for n in range(40)}
    assert len(await project.suggested(texts, "Refund")) == 40
    [job] = (await project.get("/autolabel/jobs"))["value"]
    incarnation = await _incarnation(storage, project)
    before = await rows(storage, incarnation)
    documents = await project.documents(top=1000)

    for number in (0, 1, 0, 77):
        message = BatchMessage(
            project=project.name,
            incarnation=incarnation,
            kind=JobKind.AUTOLABEL,
            job=job["jobId"],
            number=number,
        )
        await storage.queues.send(BATCH_QUEUE, message.model_dump_json())
    batch_queue = queues.get_queue_client(f"{host.prefix}-{BATCH_QUEUE}")
    await eventually("the batches are worked off", lambda: _is_empty(batch_queue))

    assert await rows(storage, incarnation) == before
    assert await project.documents(top=1000) == documents
    assert (await project.get("/autolabel/jobs"))["value"] == [job]


async def test_garbage_on_every_queue_stops_neither_the_host_nor_other_work(
    new_project: MakeProject, queues: QueueServiceClient, host: Host
) -> None:
    project = await new_project()
    for queue in QUEUES:
        for end in ("", "-poison"):
            with suppress(ResourceExistsError):  # the host creates no queue
                await queues.create_queue(f"{host.prefix}-{queue}{end}")
    names = [queue.name async for queue in queues.list_queues(name_starts_with=f"{host.prefix}-")]

    for name in names:
        for text in GARBAGE.values():
            await queues.get_queue_client(name).send_message(text)

    assert len(await project.suggested({"a.txt": "@Refund:73 please"}, "Refund")) == 1

    for name in names:
        if "poison" not in name:
            taken = partial(_has_taken, queues.get_queue_client(name), GARBAGE.values())
            await eventually(f"the garbage of {name} is gone", taken)
    assert host.process.poll() is None
    for name in names:  # what a queue with "-poison" cannot read stays there: the real host does so too
        await queues.get_queue_client(name).clear_messages()


async def test_a_document_that_fails_five_times_ends_with_the_reason_and_no_other_does(
    new_project: MakeProject,
) -> None:
    project = await new_project()
    await project.upload({"bad.txt": "@fail", "good.txt": "@Refund:73"})
    await project.define("Refund")

    job = await project.autolabel()

    assert job["status"] == "partiallyCompleted", job
    outcomes = (await project.get(f"/autolabel/jobs/{job['jobId']}/documents"))["value"]
    [bad, good] = sorted(outcomes, key=lambda outcome: outcome["location"])
    assert (bad["outcome"], good["outcome"]) == ("failed", "suggested")
    assert bad["error"]["code"] == "BatchFailed"
    assert "RuntimeError" in bad["error"]["message"]
    assert job["errors"] == [bad["error"]]


async def test_messages_of_a_deleted_project_touch_the_new_one_of_its_name_not(
    new_project: MakeProject, storage: StorageClients, queues: QueueServiceClient, host: Host
) -> None:
    project = await new_project()
    await project.suggested({"a.txt": "@Refund:73"}, "Refund")
    [job] = (await project.get("/autolabel/jobs"))["value"]
    old = await _incarnation(storage, project)
    await project.http.delete(project.path)
    await project.create()
    new = await _incarnation(storage, project)
    await project.registered(2)
    before = await rows(storage, new)

    body = {"v": 1, "project": project.name, "incarnation": old, "kind": "autolabel"}
    sent: list[str] = []
    for queue, more in (
        (WORK_QUEUE, {"id": unique("plan")}),
        (BATCH_QUEUE, {"job": job["jobId"], "number": 0}),
        (WORK_QUEUE, {"job": job["jobId"]}),
        (WORK_QUEUE, {"job": "x", "kind": "reconcile"}),
        (WORK_QUEUE, {"job": "x", "kind": "scan"}),
    ):
        sent.append(json.dumps(body | more))
        await storage.queues.send(queue, sent[-1])
    texts = [base64.b64encode(text.encode()).decode() for text in sent]
    for queue in QUEUES:
        client = queues.get_queue_client(f"{host.prefix}-{queue}")
        await eventually(f"{queue} is worked off", lambda client=client: _has_taken(client, texts))

    def lasting(rows: dict[str, Stored]) -> dict[str, Stored]:
        """Without jobs: the one that registers the new project's documents removes itself when it is done."""
        return {key: row for key, row in rows.items() if not key.startswith(("job|", "open|", "batch|"))}

    assert lasting(await rows(storage, new)) == lasting(before)
    assert (await project.get("/autolabel/jobs"))["value"] == []
