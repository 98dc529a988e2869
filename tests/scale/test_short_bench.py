"""The short form of `make bench`: its steps in process, with storage calls and entities for each document, never times.

`tests/integration/test_costs.py` says what uploads, single saves and lists cost.
"""

import json

import pytest

from bench.costs import Counted, Steps, costs, counted_app
from bench.texts import documents, name_of, project_file
from shared.domain.batches import MAX_BATCH_PAGES
from shared.domain.jobs import JobStatus
from shared.domain.names import DocumentStatus
from shared.domain.page import page_of
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs import lifecycle
from shared.services.review.bulk import BulkRequest
from shared.services.review.listing import DocumentQuery
from tests.support.services import result_json

COUNT = 1_000
PAGES = 1_024
LABELED = 10
MESSAGES = {"queue_send": 0.04 * COUNT, "queue_create": 2}


class Bench(Counted):
    def expect(self, **most: float) -> None:
        """No kind of call or entity is used more often than so many times, for all documents together."""
        cost = self.cost()
        limits = {name.replace("_", " ", 1): limit for name, limit in most.items()}
        assert all(count <= limits.get(name, 0) for name, count in cost.items()), cost


@pytest.fixture(autouse=True)
def patient_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a request would leave its work to messages, which cost calls of their own."""
    monkeypatch.setattr(lifecycle, "SECONDS", 60)


@pytest.fixture
async def bench() -> Bench:
    made = await counted_app()
    return Bench(made.storage, made.table, made.app)


async def test_what_the_steps_cost(bench: Bench) -> None:
    app, made = bench.app, documents(COUNT)
    for number, (_, text) in enumerate(made):
        await app.blobs.write("docs", name_of(number), text.encode())
    labels: list[str | None] = [label if number < LABELED else None for number, (label, _) in enumerate(made)]
    file = json.dumps(project_file("p", "docs", labels, autolabel={"onUpload": False})).encode()

    bench.begin()
    await app.container.imports.start("p", file, "tester", "import")
    await app.drain()
    # A page, its head and its history for the import; again for the inspection of the blobs, with a pending upload
    # for each document, which is inserted and deleted.
    # The scan that an import begins does not read the pages that the import wrote.
    most = {"blob_create_container": 1, "blob_write": 2, "blob_list": 1, "blob_delete": 3}
    bench.expect(
        tables=0.25 * COUNT, read=6.2 * COUNT, written=4.2 * COUNT, blob_read=COUNT, **MESSAGES, **most
    )

    bench.begin()
    await app.container.autolabel.start("p", AutolabelRequest(), "job")
    await app.drain()
    # The texts of a twentieth of the documents for the fit, of the labeled ones, of all for the predictions; the model.
    texts = 1.05 * COUNT + LABELED + 1
    bench.expect(
        tables=0.18 * COUNT, read=5 * COUNT, written=1.5 * COUNT, blob_read=texts, blob_write=1, **MESSAGES
    )

    query = DocumentQuery(DocumentStatus.AUTO_LABELED, orderby="uncertainty")
    await app.container.documents.list("p", query, 100, None)
    bench.begin()
    _, shown = await app.container.documents.list("p", query, 100, None)
    assert len(shown.documents) == 100
    bench.expect(tables=2, read=PAGES + 1)

    bench.begin()
    bench.table.most_under_way = 0
    await app.container.bulk.start("p", BulkRequest(accept=True), "tester", "bulk")
    await app.drain()
    # A page, its head and its history. Who runs all batches reads their pages by one query, sends no messages, and
    # looks once at what became of them.
    bench.expect(tables=0.07 * COUNT, read=1.32 * COUNT, written=1.95 * COUNT)

    assert bench.table.most_under_way > 1  # a batch is computed while another is committed

    bench.begin()
    await app.container.exports.start("p", "export")
    data, _ = await app.container.exports.result("p", "export")
    assert data.count(b'"location"') == COUNT
    bench.expect(
        tables=10,
        read=PAGES + 5,
        written=5,
        blob_read=1,
        blob_write=1,
        **MESSAGES,
    )


@pytest.mark.parametrize("chosen", [(), (0,), (0, 1), (*range(MAX_BATCH_PAGES), -1)])
async def test_a_bulk_decision_reads_what_has_suggestions(bench: Bench, chosen: tuple[int, ...]) -> None:
    """Of 300 documents on about 256 pages, the last is in a batch of its own: what lies between is not read."""
    app = bench.app
    await app.create(on_upload=False)
    await app.define("Refund")
    await app.upload({name_of(number): "text" for number in range(300)}, events=False)
    await app.container.registering.scan("p", "scan")
    await app.drain()
    _, shown = await app.container.documents.list("p", DocumentQuery(), COUNT, None)
    on_page = {page_of(document.id, PAGES): document.id for document in shown.documents}
    pages = sorted(on_page)
    if chosen:
        request = AutolabelRequest(documents=tuple(on_page[pages[place]] for place in chosen))
        await app.container.autolabel.start("p", request, "job")
        await app.drain()

    bench.begin()
    job = await app.container.bulk.start("p", BulkRequest(accept=True, dry_run=True), "tester", "bulk")
    assert (job.status, result_json(job)["matched"]) == (JobStatus.SUCCEEDED, len(chosen))
    # The versions of all pages, the pages that have suggestions, and some rows of the project and the job.
    assert bench.cost()["read"] <= len(pages) + len(chosen) + 10


async def test_uploads_by_events_are_read_once_when_there_is_a_model(bench: Bench) -> None:
    steps = Steps(bench.app, COUNT)
    await steps.waits_for_events()
    bench.begin()
    await steps.takes_events()
    assert bench.cost()["blob read"] == COUNT - 1


async def test_what_is_counted_for_the_table() -> None:
    found = await costs(200)

    most = {
        "import": (0.25, 3),
        "export": (0.07, 1),
        "autolabel by HTTP": (1.6, 9),
        "autolabel by events": (2.3, 7),
        "first 100": (2, 200),
        "save of one": (2, 3),
        "saves of 16": (0.07, 3),
        "bulk accept": (0.2, 5),
    }
    assert found.keys() == most.keys()
    for name, (calls, entities) in found.items():
        assert 0 < calls <= most[name][0], (name, calls)
        assert 0 < entities <= most[name][1], (name, entities)
