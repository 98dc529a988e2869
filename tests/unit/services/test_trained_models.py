"""Trained models: the list of a cell of the confusion matrix reads the evaluation once."""

import pytest

from shared.domain.document import document_id
from shared.domain.training import SplitKind, SplitOptions
from shared.services.training import trained_models
from tests.support.lives import Life, living
from tests.support.services import Clock
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def app(storage: MemoryStorage, clock: Clock) -> Life:
    return living(storage, clock)


@pytest.fixture
async def reads(app: Life, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The blobs that are read from the artifacts, in order, after a model was trained."""
    await app.create(on_upload=False)
    names = [f"{n}.txt" for n in range(10)]
    await app.upload({name: f"Message {name}" for name in names})
    await app.drain()
    for number, name in enumerate(names):
        await app.label(name, "A" if number % 2 else "B")
    await app.train("m")
    found: list[str] = []
    read = app.container.stores.artifacts.read

    async def counted(name: str) -> bytes | None:
        found.append(name)
        return await read(name)

    monkeypatch.setattr(app.container.stores.artifacts, "read", counted)
    return found


async def test_the_pages_of_a_cell_read_the_evaluation_once(app: Life, reads: list[str]) -> None:
    models = app.container.trained_models
    cell = await models.counted_in(app.name, "m", None, None)
    assert cell
    assert cell <= {document_id(f"{n}.txt") for n in range(10)}
    assert len(reads) == 2
    assert await models.counted_in(app.name, "m", None, None) == cell
    assert len(reads) == 2
    rows = [await models.counted_in(app.name, "m", category, None) for category in "AB"]
    assert rows[0] | rows[1] == cell
    assert not rows[0] & rows[1]
    assert len(reads) == 6


async def test_a_later_evaluation_has_cells_of_its_own(app: Life, reads: list[str]) -> None:
    models = app.container.trained_models
    before = await models.counted_in(app.name, "m", None, None)
    await models.evaluate(app.name, "m", SplitOptions(SplitKind.PERCENTAGE, 50), "again")
    await app.drain()
    reads.clear()
    assert len(await models.counted_in(app.name, "m", None, None)) > len(before)
    assert len(reads) == 2


async def test_as_many_cells_are_remembered_as_fit(
    app: Life, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = app.container.trained_models
    monkeypatch.setattr(trained_models, "MAX_REMEMBERED", 1)
    for category in (None, "A", None):
        await models.counted_in(app.name, "m", category, None)
    assert len(reads) == 6


@pytest.mark.usefixtures("reads")
async def test_empty_cells_take_a_bounded_space(app: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    models = app.container.trained_models
    monkeypatch.setattr(trained_models, "MAX_REMEMBERED", 100)
    for number in range(12):
        assert not await models.counted_in(app.name, "m", f"no category {number}", None)
    assert len(models._cells) <= 100 // trained_models._CELL
