"""The figures of an engine follow what people decide and undo, for each kind of project."""

from collections.abc import AsyncIterator

import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.names import ProjectKind
from shared.domain.review import Decision
from shared.engines.azure_openai.engine import AzureOpenAIEngine, OpenAIOptions
from shared.services.projects.categories import CategoryChange
from shared.services.review.bulk import BulkRequest
from shared.services.review.service import Submitted
from tests.fakes.openai import FakeOpenAI
from tests.fakes.server import serve
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage

ENGINE = "azure-openai"
#: Suggestions of a document.
EACH = {ProjectKind.SINGLE_LABEL: 1, ProjectKind.MULTI_LABEL: 2, ProjectKind.ENTITIES: 2}


@pytest.fixture(params=EACH)
async def app(request: pytest.FixtureRequest, storage: MemoryStorage) -> AsyncIterator[App]:
    """Four documents with suggestions."""
    async with serve(FakeOpenAI().app()) as url:
        options = OpenAIOptions(f"{url}/v1", "secret", "fake-model")
        engine = AzureOpenAIEngine(options, lambda: None)  # type: ignore[arg-type,return-value]
        made = in_process(storage, engines={ENGINE: lambda: engine})
        await made.create(request.param, on_upload=False)
        await made.container.categories.put("p", [CategoryChange("Refund"), CategoryChange("Login")], "me")
        await made.upload({f"{n}.txt": f"@Login {n} or @Refund" for n in range(4)})
        await made.drain()
        await made.autolabel(engine=ENGINE)
        yield made
        await engine.aclose()


async def figures(app: App) -> tuple[int, int, int]:
    """Suggested, accepted, rejected: by confidence band as by model."""
    [row] = [row for row in await app.container.autolabel.engines("p") if row.engine == ENGINE]
    by_band, by_model = (
        tuple(
            sum(getattr(tally, name) for tally in tallies) for name in ("suggested", "accepted", "rejected")
        )
        for tallies in (row.bands, row.models)
    )
    assert by_band == by_model
    assert [tally.model for tally in row.models] == ["fake-model"]
    suggested, accepted, rejected = by_band
    return suggested, accepted, rejected


async def decide(app: App, *decisions: Decision) -> None:
    await app.container.review.save("p", [Submitted(each, ANY_VERSION) for each in decisions], "ann")


async def test_decisions_count_and_undone_ones_do_not(app: App) -> None:
    each = EACH[(await app.container.projects.get("p")).kind]
    accepted, rejected, split = (document_id(f"{n}.txt") for n in range(3))
    document = await app.document("2.txt")
    assert document is not None
    assert document.suggestions is not None
    first, *others = (suggestion.id for suggestion in document.suggestions.items)
    assert await figures(app) == (4 * each, 0, 0)

    await decide(app, Decision(accepted, accept_all=True), Decision(rejected, reject_all=True))
    assert await figures(app) == (4 * each, each, each)
    await decide(app, Decision(split, accept=(first,), reject=tuple(others)))
    assert await figures(app) == (4 * each, each + 1, each + len(others))

    undo = app.container.documents.undo
    await undo("p", rejected, ANY_VERSION, "ann")
    assert await figures(app) == (4 * each, each + 1, len(others))
    await undo("p", split, ANY_VERSION, "ann")
    await undo("p", accepted, ANY_VERSION, "ann")
    assert await figures(app) == (4 * each, 0, 0)
    await decide(app, Decision(rejected, accept_all=True))
    assert await figures(app) == (4 * each, each, 0)


@pytest.mark.parametrize("accept", [True, False])
async def test_bulk_decisions_count_and_undone_ones_do_not(app: App, accept: bool) -> None:
    each = EACH[(await app.container.projects.get("p")).kind]
    await app.container.bulk.start("p", BulkRequest(accept=accept), "ann", "bulk")
    await app.drain()
    assert await figures(app) == (4 * each, 4 * each if accept else 0, 0 if accept else 4 * each)
    await app.container.bulk.start_undo("p", "bulk", "ann", "undo")
    await app.drain()
    assert await figures(app) == (4 * each, 0, 0)
