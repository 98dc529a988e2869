"""Assignments: who is to review which documents. They are advice, and a repeat assigns nothing else."""

import asyncio

import pytest

from shared.domain.document import ANY_VERSION, parse_version
from shared.domain.labels import Labels
from shared.domain.names import DocumentStatus
from shared.domain.page import Entry, Head
from shared.services.review.listing import DocumentQuery
from shared.storage import page_codec
from shared.storage.gateways.ports import Row
from shared.wire.documents import etag
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process
from tests.support.storage.faults import Crash, Faults, crash_at
from tests.support.storage.memory import MemoryStorage

NOBODY = DocumentQuery(assignee="")


async def made(app: App, count: int = 12) -> list[str]:
    await app.create()
    locations = [f"in/{n}.txt" for n in range(count)]
    await app.upload(dict.fromkeys(locations, "text"))
    await app.drain()
    return locations


async def assign(
    app: App, person: str, count: int, number: str, query: DocumentQuery = NOBODY
) -> tuple[int, bool]:
    return await app.container.team.assign("p", person, query, count, "lead", number)


async def of(app: App, person: str) -> set[str]:
    _, page = await app.container.documents.list("p", DocumentQuery(assignee=person), 100, None)
    return {document.location for document in page.documents}


async def test_the_next_ones_go_to_the_next_person(app: App) -> None:
    locations = await made(app)
    assert await assign(app, "Ana", 5, "1") == (5, True)
    assert await assign(app, "Ben", 5, "2") == (5, True)
    assert await assign(app, "Ben", 5, "3") == (2, False)
    ana, ben = await of(app, "Ana"), await of(app, "Ben")
    assert (len(ana), len(ben), ana & ben, ana | ben) == (5, 7, set(), set(locations))
    assert await of(app, "") == set()


async def test_a_repeat_assigns_the_same_documents(app: App) -> None:
    await made(app)
    assert await assign(app, "Ana", 5, "1") == (5, True)
    ana, rows = await of(app, "Ana"), await app.rows()
    assert await assign(app, "Ana", 5, "1") == (5, True)
    assert (await of(app, "Ana"), await app.rows()) == (ana, rows)


async def test_a_crash_at_any_call_and_a_repeat_assign_as_one_request(
    storage: MemoryStorage, clock: Clock
) -> None:
    """Also when the process ends between two transactions."""
    whole = Faults()
    app = in_process(storage, clock, table=whole.table(storage.table("projects")))
    await made(app)
    begun = len(whole.calls)
    await assign(app, "Ana", 5, "1")
    expected, calls = await of(app, "Ana"), len(whole.calls) - begun
    assert calls > 2
    for number in range(calls):
        for moment in ("before", "after"):
            memory = MemoryStorage(clock=clock)
            await made(in_process(memory, clock))
            faults = Faults(crash_at(number, moment))
            dying = in_process(memory, clock, table=faults.table(memory.table("projects")))
            try:
                await assign(dying, "Ana", 5, "1")
            except Crash:
                pass
            else:
                continue  # it needed fewer calls
            again = in_process(memory, clock)
            assert await assign(again, "Ana", 5, "1") == (5, True)
            assert await of(again, "Ana") == expected


async def test_lost_answers_assign_once(storage: MemoryStorage, clock: Clock) -> None:
    app = in_process(storage, clock, table=Repeating(storage.table("projects")))
    await made(app)
    assert await assign(app, "Ana", 5, "1") == (5, True)
    assert len(await of(app, "Ana")) == 5


async def test_two_leads_at_once_give_no_document_twice(app: App) -> None:
    await made(app)
    answers = await asyncio.gather(assign(app, "Ana", 8, "1"), assign(app, "Ben", 8, "2"))
    ana, ben = await of(app, "Ana"), await of(app, "Ben")
    assert ana & ben == set()
    # What the other one was given first is not taken; the answer says how many were assigned.
    assert [count for count, _ in answers] == [len(ana), len(ben)]


async def test_documents_go_from_one_person_to_another_and_to_nobody(app: App) -> None:
    await made(app)
    await assign(app, "Ana", 12, "1")
    assert await assign(app, "Ben", 4, "2", DocumentQuery(assignee="Ana")) == (4, True)
    assert await assign(app, "", 12, "3", DocumentQuery(assignee="Ana")) == (8, False)
    assert (len(await of(app, "Ana")), len(await of(app, "Ben")), len(await of(app, ""))) == (0, 4, 8)


async def test_an_assignment_changes_no_version_and_locks_nobody_out(app: App) -> None:
    [location] = await made(app, 1)
    before = await app.document(location)
    assert before is not None
    version = parse_version(etag(before, 0))
    await assign(app, "Ana", 1, "1")
    after = await app.document(location)
    assert after is not None
    assert (after.assignee, etag(after, 0)) == ("Ana", etag(before, 0))
    labels = Labels(categories=("Refund",))
    shown = await app.container.documents.set_labels("p", before.id, version, labels, "Ben")
    assert shown.document.assignee == "Ana"
    undone = await app.container.documents.undo("p", before.id, ANY_VERSION, "Ben")
    assert undone.document.assignee == "Ana"


async def test_documents_can_be_assigned_while_labeling_is_locked(app: App) -> None:
    await made(app, 2)
    await app.container.stores.fence.lock("p", "test", "because")
    assert await assign(app, "Ana", 2, "1") == (2, False)


async def test_they_are_counted_by_status(app: App) -> None:
    await made(app, 3)
    await assign(app, "Ana", 3, "1")
    await app.define("Refund")
    await app.label("in/0.txt", "Refund")
    counts = await app.container.team.assignments("p")
    assert counts == {
        "Ana": {DocumentStatus.LABELED: 1, DocumentStatus.UNLABELED: 2},
        "": {DocumentStatus.LABELED: 1},
    }


@pytest.mark.parametrize("orderby", ["id", "location", "uncertainty"])
async def test_a_list_of_a_person_in_every_order_and_in_pages(app: App, orderby: str) -> None:
    locations = await made(app)
    await assign(app, "Ana", 7, "1")
    query = DocumentQuery(assignee="Ana", orderby=orderby)
    found: list[str] = []
    token = None
    while True:
        _, page = await app.container.documents.list("p", query, 3, token)
        found += [document.location for document in page.documents]
        token = page.token
        if token is None:
            break
    assert len(found) == len(set(found)) == 7
    assert set(found) <= set(locations)


def test_a_head_keeps_the_persons_and_reads_rows_of_earlier_versions() -> None:
    entries = (Entry(1, 0, 0, "Ana"), Entry(64, 73, 2), Entry(1, 0, 0, "Ben"))
    stored = page_codec.encode_head(Head(7, 5, entries))
    assert page_codec.decode_head(Row("p", "head|e|0007", "", stored)).entries == entries
    nobody = page_codec.encode_head(
        Head(7, 5, tuple(Entry(e.flags, e.confidence, e.generation) for e in entries))
    )
    without = page_codec.unpacked_values(nobody)
    assert len(without) == 6  # as earlier versions wrote it
    older = {"v": 1, "seq": 5, **page_codec.packed_values(without[:5])}
    assert [e.assignee for e in page_codec.decode_head(Row("p", "head|e|0007", "", older)).entries] == [
        ""
    ] * 3


async def test_an_unknown_document_in_the_way_is_no_fault(app: App) -> None:
    """A document that is gone by the time of the repeat is passed over."""
    [location] = await made(app, 1)
    await assign(app, "Ana", 1, "1")
    await app.blobs.delete(app.documents, location)
    await app.container.uploads.seen(app.documents, location)
    await app.drain()
    assert await app.document(location) is None
    assert await assign(app, "Ana", 1, "1") == (0, False)
