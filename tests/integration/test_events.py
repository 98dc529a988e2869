"""Events are hints, the listing is the truth (rules A6, D13): doubled, reordered, hostile, in both schemas."""

import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.storage.gateways.clients import StorageClients
from tests.integration.conftest import MakeProject
from tests.support.api import Project, unique
from tests.support.events import (
    BLOBS,
    CREATED,
    DELETED,
    DIRECTORY_DELETED,
    DIRECTORY_RENAMED,
    RENAMED,
    Event,
    cloud_event,
    deliver,
    event,
    post,
)
from tests.support.hosts import DOCUMENTS, QUIET
from tests.support.waiting import eventually

type Make = Callable[[str, str, str], Event]


async def listed(project: Project, *locations: str) -> None:
    """Wait until the project has exactly these documents."""
    wanted = sorted(locations)

    async def look() -> bool:
        return sorted(d["location"] for d in await project.documents(top=1000)) == wanted

    await eventually(f"the documents are {wanted}", look)


@pytest.mark.parametrize("make", [event, cloud_event], ids=["Event Grid", "CloudEvents"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_five_times_and_shuffled_with_the_deletion_gives_the_state_of_the_listing(
    new_project: MakeProject, make: Make, seed: int
) -> None:
    project = await new_project()
    await project.define("Refund")
    await project.http.patch(project.path, json={"settings": {"autolabel": {"onUpload": True}}})
    await project.upload({"stays.txt": "@Refund:73 please", "goes.txt": "@Refund:50"})
    await project.blobs.delete(project.container, "goes.txt")
    events = [
        make(CREATED, project.container, "stays.txt"),
        make(DELETED, project.container, "stays.txt"),
    ] * 5
    events += [make(CREATED, project.container, "goes.txt"), make(DELETED, project.container, "goes.txt")] * 5
    random.Random(seed).shuffle(events)

    for sent in events:
        assert await post(project.http, sent) == 202

    await listed(project, "stays.txt", "~Refund.txt")

    async def suggested() -> bool:
        return (await project.document("stays.txt"))["status"] == "autoLabeled"

    await eventually("the suggestion", suggested)
    document = await project.document("stays.txt")
    jobs = [j for j in (await project.get("/autolabel/jobs"))["value"] if j["result"]["documentsTotal"]]
    assert sum(job["result"]["outcomes"]["suggested"] for job in jobs) == 1
    for sent in events[:4]:
        await post(project.http, sent)
    await project.scan()
    assert await project.document("stays.txt") == document


async def test_deletion_and_rename_follow_the_blobs(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"old.txt": "text", "gone.txt": "text"})
    await project.scan()
    await listed(project, "old.txt", "gone.txt")

    await project.upload({"new.txt": "text"})
    await project.blobs.delete(project.container, "old.txt")
    await project.blobs.delete(project.container, "gone.txt")
    data = {"sourceUrl": f"https://devstoreaccount1.dfs.core.windows.net/{project.container}/old.txt"}
    assert await post(project.http, event(RENAMED, project.container, "new.txt", data=data)) == 202
    assert await post(project.http, event(DELETED, project.container, "gone.txt")) == 202

    await listed(project, "new.txt")


async def test_directories_and_moves_to_another_container_follow_the_blobs(new_project: MakeProject) -> None:
    project, other = await new_project(), await new_project()
    await project.upload({f"old/{n}.txt": "text" for n in range(3)} | {"gone/1.txt": "text", "a.txt": "text"})
    await project.scan()
    names = ["old/0.txt", "old/1.txt", "old/2.txt", "gone/1.txt", "a.txt"]
    await listed(project, *names)
    for name in names:
        await project.blobs.delete(project.container, name)
    await project.upload({f"new/{n}.txt": "text" for n in range(3)})
    await other.upload({"b \U0001f48e.txt": "text"})

    address = "https://devstoreaccount1.dfs.core.windows.net"
    events = [
        event(DIRECTORY_RENAMED, project.container, "new", data={"sourceUrl": f"{address}/{project.container}/old"}),
        event(DIRECTORY_DELETED, project.container, "gone", data={"recursive": "true"}),
        event(
            RENAMED, other.container, "b \U0001f48e.txt".replace("\U0001f48e", "\ufffd\ufffd"),
            data={
                "sourceUrl": f"{address}/{project.container}/a.txt",
                "destinationUrl": f"{address}/{other.container}/b%20%F0%9F%92%8E.txt",
            },
        ),
    ]  # fmt: skip
    for sent in (*events, *reversed(events)):
        assert await post(project.http, sent) == 202

    await listed(project, *(f"new/{n}.txt" for n in range(3)))
    await listed(other, "b \U0001f48e.txt")


@pytest.mark.parametrize("file", ["a.txt", "a b.txt", "50%25 ä.txt", "ümläut.txt"])
async def test_the_blob_trigger_registers_uploads_of_the_documents_container(
    http: httpx.AsyncClient, storage: StorageClients, file: str
) -> None:
    """By hand and by the forwarder; a blob that is gone by then is dropped."""
    await storage.blobs.create_container(DOCUMENTS)
    project = Project(http, storage.blobs, unique("p"), DOCUMENTS)
    await project.create()
    name = f"{unique('folder')}/{file}"
    await project.upload({name: "text"})
    for _ in range(5):
        assert await post(http, event(CREATED, DOCUMENTS, name), to=BLOBS) == 202
    assert await post(http, event(CREATED, DOCUMENTS, "never.txt"), to=BLOBS) == 202

    async def found() -> bool:
        folder = name.partition("/")[0]
        return [d["location"] for d in await project.documents(locationPrefix=folder)] == [name]

    await eventually("the document of the blob trigger", found)
    assert not await project.documents(locationPrefix="never")


async def test_the_forwarder_reports_uploads_and_deletions_of_any_container(new_project: MakeProject) -> None:
    project = await new_project(events=True)
    await project.upload({"a/b.txt": "text", "c.txt": "text"})
    await listed(project, "a/b.txt", "c.txt")
    await project.blobs.delete(project.container, "c.txt")
    await listed(project, "a/b.txt")


HOSTILE: dict[str, Callable[[str], Any]] = {
    "another account": lambda c: event(CREATED, c, "x.txt", topic="/subscriptions/0/storageAccounts/other"),
    "no account": lambda c: event(CREATED, c, "x.txt", topic=""),
    "a topic that is no text": lambda c: event(CREATED, c, "x.txt", topic=7),
    "another container": lambda c: event(CREATED, f"{QUIET}-elsewhere", "x.txt"),
    "our own container": lambda c: event(CREATED, "labelbridge", "x.txt"),
    "another event type": lambda c: event("Microsoft.Storage.DirectoryCreated", c, "x.txt"),
    "no event type": lambda c: event(CREATED, c, "x.txt", eventType=None),
    "no subject": lambda c: event(CREATED, c, "x.txt", subject=None),
    "another subject": lambda c: event(CREATED, c, "x.txt", subject="/blobServices/default/containers/"),
    "a subject without blob": lambda c: event(
        CREATED, c, "", subject=f"/blobServices/default/containers/{c}/blobs/"
    ),
    "a name of 2,000 characters": lambda c: event(CREATED, c, "x" * 2_000),
    "no data": lambda c: event(CREATED, c, "missing.txt", data=None),
    "data that is a list": lambda c: event(CREATED, c, "missing.txt", data=[1]),
    "a url on another host": lambda c: event(
        CREATED, c, "missing.txt", data={"url": "http://169.254.169.254/latest/meta-data"}
    ),
    "a rename from elsewhere": lambda c: event(
        RENAMED, c, "missing.txt", data={"sourceUrl": "file:///etc/passwd"}
    ),
    "a rename from an address that is not a URL": lambda c: event(
        RENAMED, c, "missing.txt", data={"sourceUrl": "http://[bad"}
    ),
    "a name with half a surrogate pair": lambda c: event(CREATED, c, "\ud800.txt"),
    "a directory without a name": lambda c: event(DIRECTORY_DELETED, c, ""),
    "the root as a directory": lambda c: event(DIRECTORY_DELETED, c, "/"),
    "a directory of another account": lambda c: event(
        DIRECTORY_RENAMED, c, "x", data={"sourceUrl": f"https://other.dfs.core.windows.net/{c}/good.txt"}
    ),
    "a file that is not closed yet": lambda c: event(CREATED, c, "open.txt", data={"api": "CreateFile"}),
    "a rename from half a surrogate pair": lambda c: event(
        RENAMED, c, "missing.txt", data={"sourceUrl": f"https://host/{c}/\ud800.txt"}
    ),
    "a name out of the container": lambda c: event(CREATED, c, "../../labelbridge/x.txt"),
    "nothing": lambda c: {},
    "a CloudEvent of another source": lambda c: cloud_event(CREATED, c, "x.txt", source="/other"),
    "an unknown CloudEvents version": lambda c: cloud_event(CREATED, c, "missing.txt", specversion="9.9"),
    "a CloudEvent without data": lambda c: cloud_event(CREATED, c, "missing.txt", data=None),
}


async def test_hostile_events_leave_nothing_and_stop_nothing(new_project: MakeProject) -> None:
    """None makes the host answer 500, for then Event Grid would send it for a day."""
    project = await new_project()
    await project.upload({"good.txt": "text"})

    for name, make in HOSTILE.items():
        assert await post(project.http, make(project.container)) == 202, name
    assert await post(project.http, *(make(project.container) for make in HOSTILE.values())) == 202
    assert await post(project.http, event(CREATED, project.container, "good.txt")) == 202

    await listed(project, "good.txt")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff", b"[null]"])
async def test_bodies_that_are_no_events_are_refused(http: httpx.AsyncClient, body: bytes) -> None:
    assert (await deliver(http, body)).status_code == 500
    assert (await http.get("/health")).status_code == 200


async def test_5000_events_in_one_delivery(new_project: MakeProject) -> None:
    project = await new_project()
    await project.upload({"a.txt": "text"})
    events = [event(CREATED, project.container, f"{n % 50}.txt") for n in range(4_999)]

    assert await post(project.http, *events, event(CREATED, project.container, "a.txt")) == 202

    await listed(project, "a.txt")


async def test_a_handshake_fetches_nothing(http: httpx.AsyncClient) -> None:
    validation = {
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "code", "validationUrl": "http://169.254.169.254/steal"},
    }
    answer = await deliver(http, json.dumps([validation]).encode(), kind="SubscriptionValidation")
    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "code"})
