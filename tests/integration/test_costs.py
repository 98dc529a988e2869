"""The storage calls of each kind of work, on Azurite and in process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from functions.system import health
from shared.domain.document import ANY_VERSION, document_id, parse_version
from shared.domain.labels import Labels
from shared.domain.page import page_of
from shared.domain.project import DEFAULT_PAGES, AutolabelSettings, ProjectSettings
from shared.domain.review import Decision
from shared.services.projects.service import ProjectPatch
from shared.services.review.documents import DocumentPatch
from shared.services.review.listing import DocumentQuery
from shared.services.review.searching import Search
from shared.services.review.service import Saved, Submitted
from shared.wire.documents import etag
from tests.support.azurite import Azurite
from tests.support.services import App, in_process, result_json
from tests.support.storage.counting import CountingClients

UPLOADS = 1_000


@pytest.fixture
async def storage(azurite: Azurite) -> AsyncIterator[CountingClients]:
    async with azurite.storage() as clients:
        yield clients


@pytest.fixture
async def app(storage: CountingClients) -> App:
    """A project that knows a category, warm."""
    prefix = storage.names.prefix
    made = in_process(storage, prefix=prefix, collect_window_seconds=300)
    made.documents = f"{prefix}docs"
    await made.create()
    await made.define("Refund")
    await made.container.planner.plan_later(
        "p", (await made.container.projects.get("p")).incarnation, "first"
    )
    await made.drain()
    await made.label("~Refund.txt", "Refund")
    await made.fit()
    return made


async def write(app: App, texts: Mapping[str, str]) -> None:
    """Write blobs side by side."""
    writers = asyncio.Semaphore(16)

    async def write_blob(name: str, text: str) -> None:
        async with writers:
            await app.blobs.write(app.documents, name, text.encode())

    await asyncio.gather(*(write_blob(name, text) for name, text in texts.items()))


@pytest.mark.timeout(300)
async def test_a_thousand_uploads_cost_one_read_one_insert_and_a_third_of_a_call(
    app: App, storage: CountingClients
) -> None:
    """One blob read a document, at most one insert (events that come together share it), and 0.3 other calls."""
    outcomes = {"suggested": 0, "skipped": 0, "nothingFound": 0}
    texts: dict[str, str] = {}
    for n in range(UPLOADS):
        kind = "skipped" if n % 50 == 0 else "nothingFound" if n % 50 == 1 else "suggested"
        outcomes[kind] += 1
        texts[f"in/{n:04}.txt"] = {
            "skipped": " ",
            "nothingFound": f"number {n}",
            "suggested": f"@Refund:{n % 100}",
        }[kind]
    await write(app, texts)
    app.container.uploads._planned_at.clear()
    before = storage.counter.snapshot()

    await asyncio.gather(*(app.container.uploads.seen(app.documents, name) for name in texts))
    inserts = sum(storage.counter.since(before).values())
    await app.drain()
    calls = storage.counter.since(before)

    jobs = [job for job in await app.jobs() if result_json(job)["documentsTotal"]]
    reported = {k: sum(result_json(job)["outcomes"][k] for job in jobs) for k in (*outcomes, "failed")}
    assert reported == {**outcomes, "failed": 0}
    accounted = [o.location for job in jobs for o in await app.container.stores.jobs.outcomes(job)]
    assert sorted(accounted) == sorted(texts)
    reads = calls.pop(("blob", "read"))
    model = 2  # the one labeled text that it is fitted on, and the model itself
    assert reads <= UPLOADS + model
    assert inserts <= UPLOADS + 2
    others = sum(calls.values()) - inserts
    assert others <= 0.3 * UPLOADS, calls
    assert calls[("queue", "send")] <= 0.05 * UPLOADS  # the host receives and deletes each of these


@pytest.mark.parametrize(
    "fitted", [True, False], ids=["with its model loaded", "and one that loads the model"]
)
async def test_an_upload_alone_costs_24_calls(app: App, storage: CountingClients, fitted: bool) -> None:
    """Two of them send messages, of the plan and of the batch."""
    if fitted:
        await _suggested(app, {"a.txt": "@Refund:73"})
    app.container.uploads._planned_at.clear()
    await app.blobs.write(app.documents, "alone.txt", b"@Refund:50")
    before = storage.counter.snapshot()

    await app.container.uploads.seen(app.documents, "alone.txt")
    await app.drain()

    calls = storage.counter.since(before)
    document = await app.document("alone.txt")
    assert document is not None
    assert document.suggestions is not None
    assert calls.pop(("queue", "send")) == 2
    assert calls.pop(("blob", "read")) == (1 if fitted else 2)
    assert sum(calls.values()) <= 21


@pytest.mark.timeout(300)
async def test_autolabeling_over_http_costs_one_read_and_a_fifth_of_a_call(
    app: App, storage: CountingClients
) -> None:
    settings = ProjectSettings(autolabel=AutolabelSettings(on_upload=False))
    await app.container.projects.put("p", ProjectPatch(settings=lambda _: settings))
    texts = {f"in/{n:04}.txt": f"@Refund:{n % 100} number {n}" for n in range(UPLOADS)}
    await write(app, texts)
    await app.container.registering.scan("p", "scan")
    await app.drain()
    before = storage.counter.snapshot()

    job = await app.autolabel()

    calls = storage.counter.since(before)
    assert result_json(job)["outcomes"]["suggested"] == UPLOADS
    reads = calls.pop(("blob", "read"))
    others = sum(calls.values())
    # The fit reads the two labeled texts, a twentieth of the others, and a batch its model.
    assert reads <= UPLOADS + 2 + UPLOADS // 20 + 1
    assert others <= 0.2 * UPLOADS, calls
    assert calls[("queue", "send")] <= 0.03 * UPLOADS, calls


async def test_a_save_of_one_decision_costs_two_calls_and_one_on_a_page_that_is_remembered(
    app: App, storage: CountingClients
) -> None:
    await _suggested(app, {"a.txt": "@Refund:73", "b.txt": "@Refund:73"})
    pages = app.container.stores.pages
    for location, reads in (("b.txt", {}), ("a.txt", {("table", "get"): 1})):
        [submitted] = await _submitted(app, location)
        if reads:
            pages._cache.clear()  # as in a process that has not seen the page
        before = storage.counter.snapshot()

        _, [result] = await app.container.review.save("p", [submitted], "me")

        assert result.status is Saved.SAVED
        assert storage.counter.since(before) == {**reads, ("table", "commit"): 1}


async def test_saves_of_16_clients_share_their_calls(app: App, storage: CountingClients) -> None:
    """Those that wait go together, whatever their pages."""
    texts = {f"d{n:03}.txt": f"@Refund:{n}" for n in range(16)}
    await _suggested(app, texts)
    submitted = await _submitted(app, *texts)
    before = storage.counter.snapshot()

    answers = await asyncio.gather(
        *(app.container.review.save("p", [decision], "me") for decision in submitted)
    )

    assert {result.status for _, results in answers for result in results} == {Saved.SAVED}
    assert storage.counter.since(before) == {("table", "commit"): 1}


async def test_labels_by_hand_undo_and_marks_cost_one_call_on_a_page_that_is_remembered(
    app: App, storage: CountingClients
) -> None:
    await _suggested(app, {"a.txt": "@Refund:73"})
    await app.container.review.save("p", await _submitted(app, "a.txt"), "me")
    for work in (
        lambda: app.container.documents.undo("p", document_id("a.txt"), ANY_VERSION, "me"),
        lambda: app.container.documents.patch(
            "p", document_id("a.txt"), ANY_VERSION, DocumentPatch(flagged=True, note="Why?"), "me"
        ),
        lambda: app.container.documents.set_labels(
            "p", document_id("a.txt"), ANY_VERSION, Labels(categories=("Refund",)), "me"
        ),
    ):
        before = storage.counter.snapshot()
        await work()
        assert storage.counter.since(before) == {("table", "commit"): 1}


async def test_a_save_of_100_decisions_on_neighboring_pages_costs_few_calls(
    app: App, storage: CountingClients
) -> None:
    """All reads of pages side by side, all writes in transactions of up to 33 pages."""
    texts = {f"d{n:03}.txt": f"@Refund:{n}" for n in range(100)}
    await _suggested(app, texts)
    submitted = await _submitted(app, *texts)
    pages = len({page_of(document_id(name), DEFAULT_PAGES) for name in texts})
    before = storage.counter.snapshot()

    _, results = await app.container.review.save("p", submitted, "me")

    assert {r.status for r in results} == {Saved.SAVED}
    calls = storage.counter.since(before)
    assert calls[("table", "get")] <= pages
    assert calls[("table", "commit")] == -(-pages * 3 // 100)


async def test_a_list_that_was_read_before_costs_the_project_and_the_heads(
    app: App, storage: CountingClients
) -> None:
    """Also with the first words of each document and the count of all that match."""
    texts = {f"d{n:03}.txt": f"@Refund:{n}" for n in range(40)}
    await _suggested(app, texts)
    query = DocumentQuery(orderby="uncertainty", min_confidence=1)
    await app.container.documents.list("p", query, 20, None, count=True)
    before = storage.counter.snapshot()

    _, page = await app.container.documents.list("p", query, 20, None, count=True)

    assert len(page.documents) == 20
    assert page.count == 40  # the one of confidence 0 is not in the range, and last.txt is
    assert all(document.excerpt.startswith("@Refund:") for document in page.documents)
    assert storage.counter.since(before) == {("table", "get"): 1, ("table", "query"): 1}


async def test_a_search_reads_each_text_once_and_little_else(app: App, storage: CountingClients) -> None:
    await _suggested(app, {f"d{n:03}.txt": f"@Refund:{n}" for n in range(40)})
    search = Search(DocumentQuery(location_prefix="d"), "refund:7")
    await app.container.searches.search("p", search, 20, None)
    before = storage.counter.snapshot()

    _, found = await app.container.searches.search("p", search, 20, None)

    assert (len(found.matches), found.searched, found.total) == (1, 40, 40)
    calls = storage.counter.since(before)
    assert calls.pop(("blob", "read")) == 40
    assert calls == {("table", "get"): 1, ("table", "query"): 1}


async def test_the_hourly_comparison_of_an_idle_project_costs_six_calls(
    app: App, storage: CountingClients
) -> None:
    """One message, and five calls of its work, beside one that reads all projects. No plan is requested where nothing
    waits.
    """
    await _suggested(app, {f"d{n:03}.txt": f"@Refund:{n}" for n in range(40)})
    await app.container.maintenance.sweep(everything=True)
    await app.drain()
    before = storage.counter.snapshot()

    await app.container.maintenance.reconcile()
    await app.drain()

    calls = storage.counter.since(before)
    assert calls.pop(("table", "query")) == 1 + 3  # the projects; pending uploads, pages, expired jobs
    assert calls == {("queue", "send"): 1, ("table", "get"): 1, ("blob", "list"): 1}


async def test_a_health_check_costs_one_call(app: App, storage: CountingClients) -> None:
    call: Any = SimpleNamespace(container=app.container)
    before = storage.counter.snapshot()
    assert (await health(call)).status == 200
    assert storage.counter.since(before) == {("table", "get"): 1}


async def test_an_event_costs_one_call(app: App, storage: CountingClients) -> None:
    await app.container.uploads.seen(
        app.documents, "a.txt"
    )  # the container's projects are known for a second
    for number in count(1):
        before = storage.counter.snapshot()
        await app.container.uploads.seen(app.documents, f"{number}.txt")
        calls = storage.counter.since(before)
        if ("table", "query") not in calls:  # that second had passed
            break
    assert calls == {("table", "commit"): 1}


async def test_an_event_of_a_container_without_a_project_costs_one_call_a_second(
    app: App, storage: CountingClients
) -> None:
    before = storage.counter.snapshot()
    for number in range(50):
        await app.container.uploads.seen("nobodys-container", f"{number}.txt")
    assert set(storage.counter.since(before)) == {("table", "query")}
    assert storage.counter.since(before)[("table", "query")] <= 2


async def _suggested(app: App, texts: Mapping[str, str]) -> None:
    await app.upload(texts)
    app.container.uploads._planned_at.clear()
    await app.upload({"last.txt": "@Refund:1"})
    await app.drain()
    await app.label("~Refund.txt", "Refund")


async def _submitted(app: App, *locations: str) -> list[Submitted]:
    found: list[Submitted] = []
    for location in locations:
        document = await app.document(location)
        assert document is not None
        found.append(Submitted(Decision(document.id, accept_all=True), parse_version(etag(document, 0))))
    return found
