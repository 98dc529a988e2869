"""What Azure's table service answers and Azurite never does: short pages, parts of transactions, its own failures."""

import pytest

from shared.storage.gateways.ports import (
    Delete,
    Insert,
    RowExists,
    RowMissing,
    StorageUnavailable,
    TooLarge,
    UpsertReplace,
)
from tests.contract.fake_service import Scripted, fake_service
from tests.contract.table_answers import batch_answer, page, part, refusal

pytestmark = pytest.mark.usefixtures("client")
DONE = Scripted(204, "", {"ETag": 'W/"1"'})


async def test_short_and_empty_pages_are_followed_to_the_end() -> None:
    following = {"NextPartitionKey": "1!4!cA--", "NextRowKey": "1!4!Yg--"}
    answers = [page("a", following=following), page(following=following), page("b", "c")]
    async with fake_service(*answers) as (clients, service):
        rows = await clients.table("rows").query("p", select=["absent"])

    assert [(row.key, row.values) for row in rows] == [("a", {}), ("b", {}), ("c", {})]
    assert rows[0].etag == "W/\"datetime'2026-11-24T19%3A30%3A01.1234567Z'\""
    assert [request.query.get("NextRowKey") for request in service.received] == [None, "1!4!Yg--", "1!4!Yg--"]


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


async def test_an_answer_that_is_no_transaction_is_no_success() -> None:
    async with fake_service(Scripted(202)) as (clients, _):
        with pytest.raises(StorageUnavailable):
            await clients.table("rows").commit("p", [Insert("a", {})])
