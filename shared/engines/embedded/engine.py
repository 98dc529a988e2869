"""The embedded engine behind the protocol of engines: lazy imports, and CPU work in threads of its own."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from shared.domain.kinds import ProjectKind
from shared.domain.prediction import Example, Prediction
from shared.engines.base import Capabilities, NotEnoughExamples

NAME: Final = "embedded"
MIN_DOCUMENTS: Final = 5
"""With fewer labeled documents there is nothing to hold out, so no confidence would be honest."""

_CHUNK_TEXTS: Final = 256
_CHUNK_CHARACTERS: Final = 200_000
"""Together they bound the memory of a prediction, and how long others wait for the thread."""

# One thread each: a fit never delays predictions, and memory holds one fit at a time.
_FITTING: Final = ThreadPoolExecutor(1, "engine-fit")
_PREDICTING: Final = ThreadPoolExecutor(1, "engine-predict")


class EmbeddedEngine:
    """Small models, trained on this machine."""

    name: str = NAME
    capabilities: Capabilities = Capabilities(kinds=frozenset(ProjectKind), trainable=True)

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
        return await _run(_FITTING, lambda: _fit(kind, examples, unlabeled, seed))

    async def load(self, artefact: bytes) -> "EmbeddedModel":
        """As `Engine.load`."""
        return EmbeddedModel(await _run(_PREDICTING, lambda: _load(artefact)))


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

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.categories = predictor.categories

    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """As `Model.predict`."""
        predictions: list[list[Prediction]] = []
        for chunk in _chunks(texts):
            predictions += await _run(_PREDICTING, lambda chunk=chunk: self._predictor.predict(chunk))
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


async def _run[T](executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)


def _fit(kind: ProjectKind, examples: Sequence[Example], unlabeled: Sequence[str], seed: int) -> bytes:
    from shared.engines.embedded import models  # brings numpy and scipy

    return models.fit(kind, examples, unlabeled, seed)


def _load(artefact: bytes) -> Predictor:
    from shared.engines.embedded import models

    return models.load(artefact)
