"""What Azure answers and Azurite never does: empty pages, failures of its own, lost answers."""

import gzip
import json
import logging
import socket
from uuid import uuid4

import pytest
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient

from shared.storage.gateways.clients import Account, StorageClients
from shared.storage.gateways.ports import (
    ContainerMissing,
    Delete,
    Insert,
    RowExists,
    RowMissing,
    StorageUnavailable,
    TooLarge,
    UpsertReplace,
)
from tests.contract.fake_service import HANG_UP, Scripted, fake_service
from tests.support.azurite import Azurite

BUSY = Scripted(503, "", {"x-ms-error-code": "ServerBusy"})
DONE = Scripted(204, "", {"ETag": 'W/"1"'})


def page(*keys: str, following: dict[str, str] | None = None) -> Scripted:
    """A page of a query as the service sends it: no odata.etag, and null for what `select` asks in vain."""
    rows = [
        {"PartitionKey": "p", "RowKey": key, "Timestamp": "2026-11-24T19:30:01.1234567Z", "absent": None}
        for key in keys
    ]
    headers = {f"x-ms-continuation-{name}": value for name, value in (following or {}).items()}
    return Scripted(200, json.dumps({"value": rows}), headers)


def batch_answer(*parts: str) -> Scripted:
    """The answer to a transaction, in the form of Azure's documentation."""
    head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    inner = "".join(f"--changesetresponse_9-a\r\n{head}{part}\r\n" for part in parts)
    body = (
        "--batchresponse_1-f\r\nContent-Type: multipart/mixed; boundary=changesetresponse_9-a\r\n\r\n"
        f"{inner}--changesetresponse_9-a--\r\n--batchresponse_1-f--\r\n"
    )
    return Scripted(202, body, {"Content-Type": "multipart/mixed; boundary=batchresponse_1-f"})


def part(status: str, etag: str = "", body: str = "") -> str:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-ID: 1",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-cache",
    ]
    if etag:
        lines.append(f"ETag: {etag}")
    return "\r\n".join(lines) + f"\r\n\r\n{body}\r\n"


def refusal(code: str, message: str) -> str:
    text = f"{message}\nRequestId:1f5a\nTime:2026-11-24T19:30:01Z"
    return json.dumps({"odata.error": {"code": code, "message": {"lang": "en-US", "value": text}}})


async def test_short_and_empty_pages_are_followed_to_the_end() -> None:
    following = {"NextPartitionKey": "1!4!cA--", "NextRowKey": "1!4!Yg--"}
    answers = [page("a", following=following), page(following=following), page("b", "c")]
    async with fake_service(*answers) as (clients, service):
        rows = await clients.table("rows").query("p", select=["absent"])

    assert [(row.key, row.values) for row in rows] == [("a", {}), ("b", {}), ("c", {})]
    assert rows[0].etag == "W/\"datetime'2026-11-24T19%3A30%3A01.1234567Z'\""
    assert [request.query.get("NextRowKey") for request in service.received] == [None, "1!4!Yg--", "1!4!Yg--"]
    assert clients.counter.snapshot() == {("table", "query"): 3}


async def test_a_query_stops_at_its_limit() -> None:
    async with fake_service(page("a", "b", following={"NextRowKey": "c"})) as (clients, service):
        rows = await clients.table("rows").query("p", limit=2)

    assert [row.key for row in rows] == ["a", "b"]
    assert [request.query["$top"] for request in service.received] == ["2"]


async def test_every_query_names_its_partition_and_quotes_its_values() -> None:
    async with fake_service(page()) as (clients, service):
        await clients.table("rows").query("p'q", "l'o", "h'i")

    assert [request.query["$filter"] for request in service.received] == [
        "PartitionKey eq 'p''q' and RowKey ge 'l''o' and RowKey lt 'h''i'"
    ]


async def test_the_parts_of_a_transaction_give_the_etags_in_order() -> None:
    parts = [part("204 No Content", 'W/"1"'), part("204 No Content"), part("204 No Content", 'W/"3"')]
    async with fake_service(batch_answer(*parts)) as (clients, _):
        etags = await clients.table("rows").commit(
            "p", [Insert("a", {}), Delete("b"), UpsertReplace("c", {})]
        )

    assert etags == ['W/"1"', "", 'W/"3"']


async def test_the_failed_part_of_a_transaction_tells_the_operation() -> None:
    answer = batch_answer(part("409 Conflict", body=refusal("EntityAlreadyExists", "2:The entity exists.")))
    async with fake_service(answer) as (clients, _):
        with pytest.raises(RowExists) as caught:
            await clients.table("rows").commit("p", [Insert("a", {}), Insert("b", {}), Insert("c", {})])

    assert (caught.value.key, caught.value.index) == ("c", 2)


async def test_a_transaction_on_a_missing_table_creates_it_once() -> None:
    missing = batch_answer(
        part("404 Not Found", body=refusal("TableNotFound", "0:The table does not exist."))
    )
    done = batch_answer(part("204 No Content", 'W/"1"'), part("204 No Content", 'W/"2"'))
    async with fake_service(missing, DONE, done) as (clients, service):
        etags = await clients.table("rows").commit("p", [Insert("a", {}), Insert("b", {})])

    assert etags == ['W/"1"', 'W/"2"']
    assert [request.path for request in service.received] == [
        "/account/$batch",
        "/account/Tables",
        "/account/$batch",
    ]


async def test_a_table_deleted_again_and_again_ends_as_a_failure() -> None:
    missing = Scripted(404, refusal("TableNotFound", "The table does not exist."))
    async with fake_service(missing, DONE, missing) as (clients, _):
        with pytest.raises(RowMissing):
            await clients.table("rows").commit("p", [Insert("a", {})])


async def test_a_transaction_answered_in_part_is_no_success() -> None:
    async with fake_service(batch_answer(part("204 No Content", 'W/"1"'))) as (clients, _):
        with pytest.raises(StorageUnavailable):
            await clients.table("rows").commit("p", [Insert("a", {}), Insert("b", {})])


async def test_a_transaction_that_the_service_finds_too_large() -> None:
    async with fake_service(Scripted(413, "", {"x-ms-error-code": "RequestBodyTooLarge"})) as (clients, _):
        with pytest.raises(TooLarge):
            await clients.table("rows").commit("p", [Insert("a", {}), Insert("b", {})])


async def test_a_table_that_is_being_deleted_is_no_row_that_exists() -> None:
    answer = Scripted(409, refusal("TableBeingDeleted", "The table is being deleted."))
    async with fake_service(answer) as (clients, _):
        with pytest.raises(StorageUnavailable) as caught:
            await clients.table("rows").commit("p", [Insert("a", {})])
        with pytest.raises(StorageUnavailable):
            await clients.table("rows").create()

    assert caught.value.retryable


@pytest.mark.parametrize("size", [10, 30_000])
async def test_a_busy_service_is_asked_again_with_the_whole_request(size: int) -> None:
    """Also a transaction so large that it is sent as a stream."""
    done = batch_answer(*[part("204 No Content", 'W/"1"')] * 20)
    async with fake_service(BUSY, done) as (clients, service):
        await clients.table("rows").commit("p", [Insert(f"{n}", {"b": b"x" * size}) for n in range(20)])

    first, second = service.received
    assert first.body == second.body
    assert first.body.endswith(b"--\r\n")
    assert clients.counter.snapshot() == {("table", "commit"): 1}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before a request is repeated, in seconds, which nobody waits for."""
    found: list[float] = []

    async def sleep(_: AsyncHttpTransport, duration: float) -> None:
        found.append(duration)

    monkeypatch.setattr(AsyncHttpTransport, "sleep", sleep)
    return found


async def test_blobs_and_queues_are_asked_again_too_after_short_pauses(pauses: list[float]) -> None:
    etag = Scripted(201, "", {"ETag": '"0x1"'})
    async with fake_service(BUSY, BUSY, BUSY, etag) as (clients, service):
        assert await clients.blobs.write("container", "x", b"data") == "0x1"
    async with fake_service(BUSY, BUSY, BUSY, BUSY) as (clients, _):
        with pytest.raises(StorageUnavailable, match="503 ServerBusy"):
            await clients.queues.send("queue", "x")

    assert [request.body for request in service.received] == [b"data"] * 4
    assert clients.counter.snapshot() == {("queue", "send"): 1}
    assert [abs(pause - s) <= 1 for pause, s in zip(pauses, [2, 4, 8] * 2, strict=True)] == [True] * 6


async def test_an_answer_that_is_no_transaction_is_no_success() -> None:
    async with fake_service(Scripted(202)) as (clients, _):
        with pytest.raises(StorageUnavailable):
            await clients.table("rows").commit("p", [Insert("a", {})])


async def test_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with fake_service(Scripted(404)) as (clients, _):
        await clients.table("rows").get("p", "k")
        await clients.blobs.read("container", "x")

    assert [record for record in caplog.records if record.name.startswith("azure.core")] == []


async def test_a_busy_service_in_the_end_is_unavailable() -> None:
    async with fake_service(BUSY, retries=0) as (clients, service):
        for call in (
            clients.table("rows").get("p", "k"),
            clients.table("rows").query("p"),
            clients.table("rows").commit("p", [Insert("a", {})]),
            clients.table("rows").drop(),
            clients.blobs.read("container", "x"),
            clients.blobs.write("container", "x", b""),
            clients.blobs.delete("container", "x"),
            clients.blobs.list_containers(),
            clients.queues.send("queue", "x"),
        ):
            with pytest.raises(StorageUnavailable) as caught:
                await call
            assert caught.value.retryable

    assert len(service.received) == 9


async def test_a_lost_answer_to_a_write_is_not_sent_again() -> None:
    """A POST may have had its effect; the layer above finds out by its own revision."""
    async with fake_service(HANG_UP) as (clients, service):
        with pytest.raises(StorageUnavailable) as caught:
            await clients.table("rows").commit("p", [Insert("a", {}), Insert("b", {})])

    assert caught.value.retryable
    assert len(service.received) == 1


async def test_a_lost_answer_to_a_read_is_asked_for_again() -> None:
    async with fake_service(HANG_UP, Scripted(404)) as (clients, service):
        assert await clients.table("rows").get("p", "k") is None

    assert len(service.received) == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_are_not_worth_another_try(status: int) -> None:
    async with fake_service(Scripted(status, "", {"x-ms-error-code": "AuthorizationFailure"})) as (
        clients,
        service,
    ):
        with pytest.raises(StorageUnavailable) as caught:
            await clients.blobs.read("container", "x")

    assert not caught.value.retryable
    assert len(service.received) == 1


async def test_an_answer_that_no_port_foresees_is_not_taken_for_success() -> None:
    odd = Scripted(400, "what?", {"x-ms-error-code": "InvalidInput"})
    async with fake_service(odd) as (clients, _):
        for call in (
            clients.table("rows").get("p", "k"),
            clients.table("rows").query("p"),
            clients.table("rows").create(),
            clients.table("rows").drop(),
            clients.blobs.read("container", "x"),
            clients.blobs.stat("container", "x"),
            clients.blobs.delete("container", "x"),
            clients.blobs.create_container("container"),
            clients.blobs.container_exists("container"),
            clients.blobs.list_containers(),
            clients.blobs.acquire_lease("container", "x", "id"),
            clients.blobs.release_lease("container", "x", "id"),
            clients.queues.send("queue", "x"),
            clients.queues.create("queue"),
        ):
            with pytest.raises(StorageUnavailable, match="400"):
                await call


@pytest.mark.parametrize("stored", [b"no gzip at all", gzip.compress(b"x" * 10**6)])
async def test_a_blob_is_the_bytes_that_lie_there(azurite: Azurite, stored: bytes) -> None:
    """Whatever its Content-Encoding claims: nothing fails to unpack, and a cap on the bytes is no bomb."""
    name = f"c{uuid4().hex}"
    async with azurite.storage() as clients:
        await clients.blobs.create_container(name)
        settings = ContentSettings(content_encoding="gzip")
        async with BlobClient.from_connection_string(azurite.connection_string, name, "x") as sdk:
            await sdk.upload_blob(stored, content_settings=settings)
        whole = await clients.blobs.read(name, "x")
        start = await clients.blobs.read(name, "x", max_bytes=5)
        pieces = [piece async for piece in clients.blobs.stream_read(name, "x", 10)]

    assert whole
    assert start
    assert (whole.data, start.data, b"".join(pieces)) == (stored, stored[:5], stored)
    assert start.size == len(stored)


async def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: a connection is refused
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}/account"
        clients = StorageClients(Account(endpoint, endpoint, endpoint, name="account", key="a2V5"), retries=0)
        with pytest.raises(StorageUnavailable) as caught:
            await clients.table("rows").get("p", "k")
        await clients.close()

    assert caught.value.retryable


async def test_names_that_xml_cannot_hold_and_etags_with_and_without_quotes() -> None:
    listing = (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob>'
        '<Name Encoded="true">a%EF%BF%BEb%20c</Name><Properties>'
        "<Last-Modified>Tue, 24 Nov 2026 19:38:04 GMT</Last-Modified><Etag>0x8D1</Etag>"
        "<Content-Length>3</Content-Length><BlobType>BlockBlob</BlobType><LeaseStatus>locked</LeaseStatus>"
        "<LeaseState>leased</LeaseState></Properties></Blob>"
        "<BlobPrefix><Name>x/</Name></BlobPrefix></Blobs><NextMarker>m&amp;1</NextMarker></EnumerationResults>"
    )
    last = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>"
    async with fake_service(Scripted(200, listing), Scripted(200, last)) as (clients, service):
        pages = [page async for page in clients.blobs.list("container")]

    assert [[(i.name, i.etag, i.size, i.leased) for i in page] for page in pages] == [
        [("a\ufffeb c", "0x8D1", 3, True)],
        [],
    ]
    assert [request.query.get("marker") for request in service.received] == [None, "m&1"]


async def test_containers_are_listed_page_by_page() -> None:
    def page_of(name: str, marker: str) -> Scripted:
        properties = "<Last-Modified>Tue, 24 Nov 2026 19:38:04 GMT</Last-Modified><Etag>0x8D1</Etag>"
        container = f"<Container><Name>{name}</Name><Properties>{properties}</Properties></Container>"
        page = f"<Containers>{container}</Containers><NextMarker>{marker}</NextMarker>"
        return Scripted(200, f"<EnumerationResults>{page}</EnumerationResults>")

    async with fake_service(page_of("a", "b"), page_of("b", "")) as (clients, service):
        assert await clients.blobs.list_containers() == ["a", "b"]

    assert [request.query.get("marker") for request in service.received] == [None, "b"]


async def test_a_container_that_vanishes_while_it_is_listed() -> None:
    gone = Scripted(404, "", {"x-ms-error-code": "ContainerNotFound"})
    async with fake_service(gone) as (clients, _):
        with pytest.raises(ContainerMissing):
            await anext(clients.blobs.list("container"))
        assert await clients.blobs.read("container", "x") is None
