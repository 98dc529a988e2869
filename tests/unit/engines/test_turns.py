"""Projects share the threads and processes of the embedded engine in turns."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import FitReport
from shared.engines.embedded import engine as embedded
from shared.engines.embedded.engine import LONG, EmbeddedEngine, EmbeddedModel
from shared.engines.worker import FitRequest
from tests.unit.engines import examples


class _Predictor:
    """Notes who predicts, and predicts nothing."""

    categories = ("a",)

    def __init__(self, name: str, order: list[str]) -> None:
        self._name = name
        self._order = order

    def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        self._order.append(self._name)
        return [[] for _ in texts]


async def test_models_take_turns_however_much_one_has_to_predict() -> None:
    order: list[str] = []
    large, small = (EmbeddedModel(_Predictor(name, order), FitReport()) for name in ("large", "small"))

    batches = [asyncio.create_task(large.predict(["text"] * 1_000)) for _ in range(10)]
    await asyncio.sleep(0)  # they wait for the thread already
    found = await small.predict(["text"] * 300)
    await asyncio.gather(*batches)

    assert len(found) == 300
    assert (order.count("large"), order.count("small")) == (40, 2)
    assert max(n for n, name in enumerate(order) if name == "small") <= 6


class _StuckWorker:
    """A process that fits for as long as the test wants."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def fit(self, request: FitRequest) -> bytes:
        self.begun.set()
        assert self.go_on.wait(60)
        return b"long"

    def cancel(self, request: FitRequest) -> None:
        self.go_on.set()


class _QuickWorker:
    def fit(self, request: FitRequest) -> bytes:
        return b"short"


async def test_short_fits_wait_for_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = _StuckWorker()
    workers: dict[bool, Any] = {True: stuck, False: _QuickWorker()}
    monkeypatch.setattr(embedded, "_worker", workers.__getitem__)
    monkeypatch.setattr(embedded, "_fit", lambda *_: b"in a thread")
    labeled = examples.single(30)
    characters = sum(len(example.text) for example in labeled)

    def fit(few: int) -> asyncio.Task[bytes]:
        engine = EmbeddedEngine((few, few))
        return asyncio.create_task(engine.fit(ProjectKind.SINGLE_LABEL, labeled))

    try:
        long = fit(characters // LONG - 1)
        await asyncio.to_thread(stuck.begun.wait, 30)
        assert await asyncio.wait_for(fit(characters - 1), 30) == b"short"
        assert await asyncio.wait_for(fit(characters), 30) == b"in a thread"
        assert not long.done()
    finally:
        stuck.go_on.set()
    assert await long == b"long"
