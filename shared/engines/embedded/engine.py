"""The embedded engine, with lazy imports and CPU work in its own threads."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from shared.domain.labels import Example, Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import Capabilities, EngineError, EngineUnavailable, FitReport, NotEnoughExamples

if TYPE_CHECKING:
    from shared.engines.worker import Worker

log = logging.getLogger("labelbridge.engines")

NAME: Final = "embedded"
MIN_DOCUMENTS: Final = 5
"""With fewer labeled documents none could be held out to calibrate confidences."""

IN_THREAD: Final = 50_000, 5_000
"""Fits on this many characters take about a second, as long as the start of a process."""

_CHUNK_TEXTS: Final = 256
_CHUNK_CHARACTERS: Final = 200_000
"""Together they limit the memory of a prediction, and how long others wait for the thread."""

LONG: Final = 10
"""Fits on this many times more characters are long: they have a process of their own, so shorter fits need not wait."""

# One thread each: a fit does not block predictions, and only one long fit at a time takes memory.
_FITTING: Final = ThreadPoolExecutor(1, "engine-fit")
_IN_PROCESS: Final = ThreadPoolExecutor(1, "engine-fit-process"), ThreadPoolExecutor(1, "engine-fit-long")
_PREDICTING: Final = ThreadPoolExecutor(1, "engine-predict")


class EmbeddedEngine:
    """Small models, trained on this machine: in a thread for few characters, otherwise in a separate process.

    `in_thread`: the maximum of characters for a fit in a thread, with classes and with entities.
    """

    name: str = NAME
    capabilities: Capabilities = Capabilities(kinds=frozenset(ProjectKind), trainable=True)

    def __init__(self, in_thread: tuple[int, int] = IN_THREAD) -> None:
        self._in_thread = in_thread

    def missing_for(
        self, kind: ProjectKind, examples_per_category: Mapping[str, int], labeled: int
    ) -> str | None:
        """As `Engine.missing_for`."""
        seen = sorted(name for name, count in examples_per_category.items() if count > 0)
        missing: list[str] = []
        if labeled < MIN_DOCUMENTS:
            missing.append(f"{MIN_DOCUMENTS} labeled documents ({MIN_DOCUMENTS - labeled} missing)")
        if kind is ProjectKind.SINGLE_LABEL and len(seen) < 2:
            only = f"only '{seen[0]}' has any" if seen else "none has any"
            missing.append(f"2 classes with labeled documents ({only})")
        elif not seen:
            missing.append(
                "1 labeled entity" if kind is ProjectKind.ENTITIES else "1 class with labeled documents"
            )
        return f"The embedded engine needs at least {' and '.join(missing)}." if missing else None

    async def fit(
        self, kind: ProjectKind, examples: Sequence[Example], *, unlabeled: Sequence[str] = (), seed: int = 0
    ) -> bytes:
        """As `Engine.fit`, in a thread."""
        counts: dict[str, int] = {}
        for example in examples:
            for category in (*set(example.categories), *(span.category for span in example.spans)):
                counts[category] = counts.get(category, 0) + 1
        if reason := self.missing_for(kind, counts, len(examples)):
            raise NotEnoughExamples(reason)
        characters = sum(len(example.text) for example in examples) + sum(map(len, unlabeled))
        few = self._in_thread[kind is ProjectKind.ENTITIES]
        if characters > few:
            return await _fit_in_process(kind, examples, unlabeled, seed, long=characters > LONG * few)
        return await _run(_FITTING, "learn from these labels", lambda: _fit(kind, examples, unlabeled, seed))

    async def load(self, artifact: bytes) -> "EmbeddedModel":
        """As `Engine.load`."""
        return EmbeddedModel(*await _run(_PREDICTING, "read its model", lambda: _load(artifact)))


class Predictor(Protocol):
    """A fitted model of some kind, used from one thread at a time."""

    @property
    def categories(self) -> tuple[str, ...]:
        """As `Model.categories`."""
        ...

    def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """As `Model.predict`; CPU bound."""
        ...


class EmbeddedModel:
    """A fitted model; it predicts in the engine's own thread, in chunks so that callers take turns."""

    def __init__(self, predictor: Predictor, report: FitReport) -> None:
        self._predictor = predictor
        self._turn = asyncio.Lock()  # only one chunk per model waits for the thread, so models take turns
        self.categories = predictor.categories
        self.report = report

    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """As `Model.predict`."""
        predictions: list[list[Prediction]] = []
        for chunk in _chunks(texts):
            async with self._turn:
                predictions += await _run(
                    _PREDICTING, "predict these texts", lambda chunk=chunk: self._predictor.predict(chunk)
                )
        return predictions


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    begin = characters = 0
    for end, text in enumerate(texts):
        characters += len(text)
        if end > begin and (end - begin == _CHUNK_TEXTS or characters > _CHUNK_CHARACTERS):
            yield texts[begin:end]
            begin, characters = end, len(text)
    if begin < len(texts):
        yield texts[begin:]


async def _run[T](executor: ThreadPoolExecutor, what: str, work: Callable[[], T]) -> T:
    context = copy_context()  # so that the thread's log records have the ids of the work
    return await asyncio.get_running_loop().run_in_executor(
        executor, lambda: context.run(explained, what, work)
    )


def explained[T](what: str, work: Callable[[], T]) -> T:
    """The result of the work. Any failure is raised as an EngineError with its cause; the last attempt logs both."""
    try:
        return work()
    except EngineError:
        raise
    except MemoryError as error:
        raise EngineUnavailable(f"The embedded engine does not have enough memory to {what}.") from error
    except Exception as error:
        message = f"The embedded engine could not {what} ({type(error).__name__}). The log has the details."
        raise EngineError(message) from error


async def _fit_in_process(
    kind: ProjectKind, examples: Sequence[Example], unlabeled: Sequence[str], seed: int, *, long: bool
) -> bytes:
    """Fit in a worker process; long fits have their own. Canceling ends the process if it is working on this fit."""
    from shared.engines.worker import FitRequest

    worker = _worker(long)
    request = FitRequest(
        kind, examples, unlabeled, seed, one_thread=long
    )  # a person may wait for a short fit

    def fit() -> bytes:
        try:
            return worker.fit(request)
        except OSError as error:
            name = type(error).__name__
            log.warning("No process can be started; the model is fitted in a thread: %s", name)
            return _fit(kind, examples, unlabeled, seed)

    try:
        return await _run(_IN_PROCESS[long], "learn from these labels", fit)
    except asyncio.CancelledError:
        worker.cancel(request)
        raise


@cache
def _worker(long: bool) -> "Worker":
    from shared.engines.worker import Worker

    return Worker()


def _fit(kind: ProjectKind, examples: Sequence[Example], unlabeled: Sequence[str], seed: int) -> bytes:
    from shared.engines.embedded import models  # brings numpy and scipy

    return models.fit(kind, examples, unlabeled, seed)


def _load(artifact: bytes) -> tuple[Predictor, FitReport]:
    from shared.engines.embedded import models

    return models.load(artifact)
