"""Progress by person and day: counted from the history, each change once, however often it is requested."""

import asyncio
from datetime import date, timedelta

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.errors import InvalidArgument
from shared.domain.labels import Labels
from shared.domain.project import DEFAULT_PAGES
from shared.domain.review import Decision
from shared.domain.team import NO_WORK, Work
from shared.services.review import team
from shared.services.review.bulk import BulkRequest
from shared.services.review.service import Saved, Submitted
from tests.support.repeating import Repeating
from tests.support.services import App, Clock, in_process
from tests.support.storage.memory import MemoryStorage

DAY = date(2030, 1, 1)
ALL = DAY - timedelta(days=1), DAY + timedelta(days=60)


async def suggested(app: App, *locations: str) -> None:
    await app.create()
    await app.define("Refund", "Login")
    await app.upload(dict.fromkeys(locations, "@Refund:73 please"))
    await app.drain()


async def decide(app: App, location: str, by: str, *, accept: bool = True) -> None:
    decision = Decision(document_id(location), accept_all=accept, reject_all=not accept)
    _, [result] = await app.container.review.save("p", [Submitted(decision, ANY_VERSION)], by)
    assert result.status is Saved.SAVED


async def label(app: App, location: str, by: str, category: str = "Login") -> None:
    labels = Labels(categories=(category,))
    await app.container.documents.set_labels("p", document_id(location), ANY_VERSION, labels, by)


async def progress(app: App) -> dict[tuple[date, str], Work]:
    """What is counted, but for the labels that `suggested` set."""
    _, found = await app.container.team.progress("p", *ALL)
    assert found.complete
    return {(d.day, d.by): d.work for d in found.days if d.by != "tester"}


async def test_it_counts_what_each_person_did_on_each_day(app: App, clock: Clock) -> None:
    await suggested(app, "a.txt", "b.txt", "c.txt")
    await decide(app, "a.txt", "Ana")
    await decide(app, "b.txt", "Ben", accept=False)
    clock.move(86_400)
    await decide(app, "c.txt", "Ana")
    await app.container.documents.undo("p", document_id("c.txt"), ANY_VERSION, "Ben")

    assert await progress(app) == {
        (DAY, "Ana"): Work(documents=1, accepted=1),
        (DAY, "Ben"): Work(documents=1, rejected=1),
        (DAY + timedelta(days=1), "Ana"): Work(documents=1, accepted=1),
        (DAY + timedelta(days=1), "Ben"): Work(undone=1),
    }


async def test_the_newest_day_comes_first_and_only_days_that_were_asked_for(app: App, clock: Clock) -> None:
    await suggested(app, "a.txt", "b.txt")
    await decide(app, "a.txt", "Ben")
    await label(app, "a.txt", "Ana")
    clock.move(86_400 * 40)
    await decide(app, "b.txt", "Ana")

    _, found = await app.container.team.progress("p", *ALL)
    days = [(d.day, d.by) for d in found.days if d.by != "tester"]
    assert days == [(DAY + timedelta(days=40), "Ana"), (DAY, "Ana"), (DAY, "Ben")]
    _, found = await app.container.team.progress("p", DAY + timedelta(days=1), DAY + timedelta(days=40))
    assert [d.by for d in found.days] == ["Ana"]


async def test_a_document_counts_once_a_day_and_person_also_when_counted_in_between(
    app: App, clock: Clock
) -> None:
    await suggested(app, "a.txt")
    await decide(app, "a.txt", "Ana")
    assert (await progress(app))[DAY, "Ana"] == Work(documents=1, accepted=1)
    await label(app, "a.txt", "Ana", "Login")
    assert (await progress(app))[DAY, "Ana"] == Work(documents=1, accepted=1, labeled=1)
    await label(app, "a.txt", "Ben", "Refund")
    assert (await progress(app))[DAY, "Ben"] == Work(documents=1, labeled=1)
    clock.move(86_400)
    await label(app, "a.txt", "Ana", "Login")
    assert (await progress(app))[DAY + timedelta(days=1), "Ana"] == Work(documents=1, labeled=1)


async def test_bulk_decisions_are_counted_apart(app: App) -> None:
    await suggested(app, "a.txt", "b.txt", "c.txt")
    await app.container.bulk.start("p", BulkRequest(accept=True), "Ana", "bulk")
    await app.drain()
    assert await progress(app) == {(DAY, "Ana"): Work(bulk=3)}


async def test_asking_again_changes_no_row_and_reads_no_history(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await suggested(app, "a.txt")
    await decide(app, "a.txt", "Ana")
    first = await progress(app)
    rows = await app.rows()

    async def changes(*_: object) -> None:
        raise AssertionError("the history was read")

    monkeypatch.setattr(app.container.stores.progress, "changes", changes)
    assert await progress(app) == first
    assert await app.rows() == rows


async def test_several_who_ask_at_once_count_each_change_once(app: App) -> None:
    await suggested(app, *(f"{n}.txt" for n in range(20)))
    for n in range(20):
        await decide(app, f"{n}.txt", "Ana")
    await asyncio.gather(*(app.container.team.progress("p", *ALL) for _ in range(8)))
    assert await progress(app) == {(DAY, "Ana"): Work(documents=20, accepted=20)}


async def test_a_count_whose_answer_was_lost_is_not_added_twice(storage: MemoryStorage, clock: Clock) -> None:
    app = in_process(storage, clock, table=Repeating(storage.table("projects")))
    await suggested(app, "a.txt")
    await decide(app, "a.txt", "Ana")
    assert await progress(app) == {(DAY, "Ana"): Work(documents=1, accepted=1)}


async def test_one_request_counts_a_bounded_number_of_pages(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    locations = [f"{n}.txt" for n in range(12)]
    await suggested(app, *locations)
    for location in locations:
        await decide(app, location, "Ana")
    pages = {document_id(location)[:2] for location in (*locations, "~Refund.txt", "~Login.txt")}
    assert 8 < len(pages) <= DEFAULT_PAGES
    monkeypatch.setattr(team, "PAGES_A_REQUEST", 4)

    counted, requests = NO_WORK, 0
    while True:
        _, found = await app.container.team.progress("p", *ALL)
        requests += 1
        now = next((d.work for d in found.days if d.by == "Ana"), NO_WORK)
        assert counted.documents <= now.documents <= 4 * requests
        counted = now
        if found.complete:
            break
    assert requests > 2
    assert counted == Work(documents=12, accepted=12)


async def test_the_counts_go_with_the_project(app: App, storage: MemoryStorage) -> None:
    await suggested(app, "a.txt")
    await progress(app)
    incarnation = (await app.container.projects.get("p")).incarnation
    assert [key for key in await app.rows() if key.startswith("progress|")]
    await app.container.projects.delete("p", "deletion")
    await app.container.maintenance.sweep()
    assert await storage.table("projects").query(incarnation) == []


@pytest.mark.parametrize(
    ("first", "last"), [(DAY, DAY - timedelta(days=1)), (DAY, DAY + timedelta(days=366))]
)
async def test_a_range_that_is_empty_or_too_long_is_refused(app: App, first: date, last: date) -> None:
    await app.create()
    with pytest.raises(InvalidArgument) as refused:
        await app.container.team.progress("p", first, last)
    assert refused.value.target == "fromDate"
