"""Responses of Azure that Azurite never gives: throttling, refusals, lost responses, other spellings of names."""

import gzip
import logging
import socket
from uuid import uuid4

import pytest
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobClient

from shared import telemetry
from shared.storage.gateways.clients import Account, StorageClients
from shared.storage.gateways.ports import (
    ContainerMissing,
    Delete,
    Insert,
    Merge,
    Operation,
    Replace,
    StorageUnavailable,
    UpsertMerge,
    UpsertReplace,
)
from shared.storage.gateways.rest_pipeline import TABLE_PAUSES
from shared.telemetry import Attribute
from tests.contract.fake_service import HANG_UP, FakeService, Scripted, fake_service
from tests.contract.table_answers import batch_answer, part
from tests.support.azurite import Azurite

pytestmark = pytest.mark.usefixtures("client")
BUSY = Scripted(503, "", {"x-ms-error-code": "ServerBusy"})


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays before a request is retried, in seconds, which the tests skip."""
    found: list[float] = []

    async def sleep(_: AsyncHttpTransport, duration: float) -> None:
        found.append(duration)

    monkeypatch.setattr(AsyncHttpTransport, "sleep", sleep)
    return found


@pytest.mark.parametrize("size", [10, 30_000])
async def test_a_busy_service_is_asked_again_with_the_whole_request(size: int) -> None:
    """Also a transaction so large that it is sent as a stream."""
    done = batch_answer(*[part("204 No Content", 'W/"1"')] * 20)
    async with fake_service(BUSY, done) as (clients, service):
        await clients.table("rows").commit("p", [Insert(f"{n}", {"b": b"x" * size}) for n in range(20)])

    first, second = service.received
    assert first.body == second.body
    assert first.body.endswith(b"--\r\n")


async def test_blobs_and_queues_are_asked_again_too_after_short_pauses(pauses: list[float]) -> None:
    etag = Scripted(201, "", {"ETag": '"0x1"'})
    async with fake_service(BUSY, BUSY, BUSY, etag) as (clients, service):
        assert await clients.blobs.write("container", "x", b"data") == "0x1"
    async with fake_service(BUSY, BUSY, BUSY, BUSY) as (clients, _):
        with pytest.raises(StorageUnavailable, match="503 ServerBusy"):
            await clients.queues.send("queue", "x")

    assert [request.body for request in service.received] == [b"data"] * 4
    assert [abs(pause - s) <= 1 for pause, s in zip(pauses, [2, 4, 8] * 2, strict=True)] == [True] * 6


async def test_requests_that_are_sent_again_are_counted_by_how_the_try_before_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[tuple[str, int]] = []

    def count(name: str, value: float = 1, **attributes: Attribute) -> None:
        if name == "labelbridge.storage.retries":
            assert (value, attributes["host"]) == (1, "127.0.0.1")
            found.append((str(attributes["method"]), int(attributes["status"])))

    monkeypatch.setattr(telemetry, "enabled", lambda: True)
    monkeypatch.setattr(telemetry, "count", count)
    async with fake_service(BUSY, Scripted(429), Scripted(404)) as (clients, _):
        assert await clients.table("rows").get("p", "k") is None
    assert found == [("GET", 503), ("GET", 429)]
    found.clear()
    async with fake_service(BUSY, Scripted(201, "", {"ETag": '"0x1"'})) as (clients, _):
        await clients.blobs.write("container", "x", b"data")
        await clients.blobs.write("container", "y", b"data")
    async with fake_service(*[HANG_UP] * 3, Scripted(404)) as (clients, service):
        assert await clients.table("rows").get("p", "k") is None
    tried = [("GET", 0)] * (len(found) - 1)
    assert found == [("PUT", 503), *tried]
    assert 0 < len(tried) < len(service.received)  # aiohttp may have sent one itself


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


ONE_OF_EACH: list[Operation] = [
    Insert("a", {}),
    Replace("a", {}, 'W/"1"'),
    Merge("a", {}, 'W/"1"'),
    UpsertReplace("a", {}),
    UpsertMerge("a", {}),
    Delete("a"),
    Delete("a", 'W/"1"'),
]


@pytest.mark.parametrize("operation", ONE_OF_EACH, ids=lambda o: type(o).__name__)
async def test_no_write_is_sent_again_when_its_answer_was_lost(operation: Operation) -> None:
    """Not even by aiohttp, which repeats a PUT or DELETE on a connection that it kept from the call before."""
    async with fake_service(Scripted(404), HANG_UP) as (clients, service):
        assert await clients.table("rows").get("p", "k") is None
        with pytest.raises(StorageUnavailable) as caught:
            await clients.table("rows").commit("p", [operation])

    assert caught.value.retryable
    assert [request.method == "GET" for request in service.received] == [True, False]


@pytest.mark.parametrize("operation", ONE_OF_EACH, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_write_that_was_refused_for_a_while_is_sent_again_after_the_time_that_was_named(
    operation: Operation, status: int, pauses: list[float]
) -> None:
    busy = Scripted(status, "", {"Retry-After": "7"})
    etag = "" if isinstance(operation, Delete) else 'W/"2"'
    done = batch_answer(part("204 No Content", etag))
    alone = Scripted(204, "", {"ETag": etag} if etag else {})
    async with fake_service(busy, alone if FakeService.rest else done) as (clients, service):
        assert await clients.table("rows").commit("p", [operation]) == [etag]

    assert pauses == [7]
    assert [request.body for request in service.received] == [service.received[0].body] * 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_reads_are_asked_again_after_the_time_that_was_named(status: int, pauses: list[float]) -> None:
    busy = Scripted(status, "", {"Retry-After": "3"})
    rows = Scripted(200, '{"value": []}')
    async with fake_service(busy, rows) as (clients, service):
        assert await clients.table("rows").query("p") == []
    async with fake_service(busy, Scripted(404)) as (clients, service):
        assert await clients.table("rows").get("p", "k") is None

    assert pauses == [3, 3]
    assert len(service.received) == 2


async def test_a_read_that_never_succeeds_gives_up(pauses: list[float]) -> None:
    async with fake_service(Scripted(503)) as (clients, service):
        with pytest.raises(StorageUnavailable, match="503") as caught:
            await clients.table("rows").query("p")

    assert caught.value.retryable
    assert len(service.received) == (6 if FakeService.rest else 5)
    if FakeService.rest:
        assert all(
            0.5 * usual <= pause <= 1.5 * usual for usual, pause in zip(TABLE_PAUSES, pauses, strict=True)
        )


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


async def test_a_listing_of_a_hierarchical_account_leaves_its_directories_out() -> None:
    """They come as blobs without content, also in a listing without a delimiter."""
    folder = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
    blobs = "".join(
        f"<Blob><Name>{name}</Name><Properties><Etag>0x1</Etag><Content-Length>0</Content-Length>"
        f"<BlobType>BlockBlob</BlobType><ResourceType>{kind}</ResourceType></Properties>{metadata}</Blob>"
        for name, kind, metadata in (
            ("dir", "directory", folder),
            ("dir/a.txt", "file", ""),
            ("dir/odd.txt", "directory", folder),
            ("dir/odd.txt/b.txt", "file", "<Metadata><author>me</author></Metadata>"),
        )
    )
    body = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>"
    async with fake_service(Scripted(200, f'<?xml version="1.0" encoding="utf-8"?>{body}')) as (
        clients,
        service,
    ):
        names = [info.name async for page in clients.blobs.list("container") for info in page]

    assert names == ["dir/a.txt", "dir/odd.txt/b.txt"]
    assert service.received[0].query["include"] == "metadata"
