import pytest

from bench.instant_engine import InstantEngine
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.engines import ArtifactError
from tests.unit.engines import examples


async def test_it_predicts_the_first_category():
    engine = InstantEngine()
    model = await engine.load(await engine.fit(ProjectKind.MULTI_LABEL, examples.multi(6)))
    assert await model.predict(["a", "b"]) == [[Prediction("account", 0.5)]] * 2


async def test_for_entities_over_the_first_word():
    engine = InstantEngine()
    model = await engine.load(await engine.fit(ProjectKind.ENTITIES, examples.entities(3)))
    assert await model.predict(["  two words", " "]) == [[Prediction("person", 0.5, 2, 3)], []]


async def test_it_refuses_other_bytes():
    with pytest.raises(ArtifactError):
        await InstantEngine().load(b"[]")
