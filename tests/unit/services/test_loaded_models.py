"""Which models stay in memory: as many as their artifacts allow, and the one that was used last."""

from typing import override

import pytest

from shared.domain.names import ProjectKind
from shared.engines.base import Engine, Model, ServiceEngine, ServiceModel, Task
from shared.services.training.model_cache import LOADED_BYTES, MIN_LOADED, MIN_SERVICE, ModelCache
from tests.support.engines import ScriptedEngine, ScriptedModel
from tests.support.services import App

MIB = 2**20


class Fitted(ScriptedEngine):
    """Its artifacts may be of any size."""

    @override
    async def load(self, artifact: bytes) -> Model:
        return ScriptedModel(ProjectKind.SINGLE_LABEL)


class Service(ServiceEngine):
    @override
    async def prepare(self, task: Task) -> bytes:
        raise NotImplementedError

    @override
    async def load(self, artifact: bytes) -> ServiceModel:
        return object()  # type: ignore[return-value]


class Loading:
    """Loads artifacts with a cache, and says whether a model was in memory."""

    def __init__(self, app: App) -> None:
        self._cache = ModelCache(app.container.stores)
        self._artifacts = app.container.stores.artifacts
        self._seen: dict[str, Model] = {}

    async def cached(self, engine: Engine, name: str, size: int) -> bool:
        if name not in self._seen:
            await self._artifacts.write(name, b" " * size)
        model = await self._cache.load(engine, name)
        before, self._seen[name] = self._seen.get(name), model
        return model is before


@pytest.fixture
def loading(app: App) -> Loading:
    return Loading(app)


async def test_the_models_used_last_stay_within_the_limit(loading: Loading) -> None:
    for name in ("a", "b"):
        assert not await loading.cached(Fitted(), name, 4 * MIB)
    assert await loading.cached(Fitted(), "a", 4 * MIB)
    assert not await loading.cached(Fitted(), "c", 4 * MIB)  # in the place of b
    assert await loading.cached(Fitted(), "c", 4 * MIB)
    assert await loading.cached(Fitted(), "a", 4 * MIB)
    assert not await loading.cached(Fitted(), "b", 4 * MIB)


async def test_a_model_larger_than_the_limit_stays_until_another_is_used(loading: Loading) -> None:
    for size in (1, LOADED_BYTES + 1):
        assert not await loading.cached(Fitted(), f"{size}", size)
    assert await loading.cached(Fitted(), f"{LOADED_BYTES + 1}", LOADED_BYTES + 1)
    assert not await loading.cached(Fitted(), "1", 1)
    assert not await loading.cached(Fitted(), f"{LOADED_BYTES + 1}", LOADED_BYTES + 1)


async def test_a_small_fitted_model_takes_more_memory_than_its_artifact(loading: Loading) -> None:
    most = LOADED_BYTES // MIN_LOADED
    for number in range(most):
        assert not await loading.cached(Fitted(), f"{number}", 1_000)
    assert await loading.cached(Fitted(), "0", 1_000)
    assert not await loading.cached(Fitted(), f"{most}", 1_000)
    assert await loading.cached(Fitted(), "0", 1_000)
    assert not await loading.cached(Fitted(), "1", 1_000)


async def test_models_of_services_count_as_their_artifacts(loading: Loading) -> None:
    assert not await loading.cached(Fitted(), "fitted", 9 * MIB)
    for number in range(50):
        assert not await loading.cached(Service(), f"{number}", 10_000)
    assert await loading.cached(Fitted(), "fitted", 9 * MIB)
    assert await loading.cached(Service(), "0", 10_000)


async def test_the_model_of_a_service_with_a_tiny_artifact_takes_more_memory(loading: Loading) -> None:
    most = LOADED_BYTES // MIN_SERVICE
    for number in range(most):
        assert not await loading.cached(Service(), f"{number}", 4)
    assert await loading.cached(Service(), "0", 4)
    assert not await loading.cached(Service(), f"{most}", 4)
    assert not await loading.cached(Service(), "1", 4)
