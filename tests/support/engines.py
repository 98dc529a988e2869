"""An engine that predicts what the text says, so that a test decides every suggestion.

    "@Refund:73 please"     category Refund with confidence 0.73 (in an entity project: the span of this token)
    "@fail"                 predicting raises, each time
    "@hold"                 predicting and fitting wait while the file named by TEST_HOLD_FILE exists
    "@unfit"                a fit on this text raises

It needs one label in the project, as every engine needs some.
"""

import asyncio
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, override

from shared.domain.labels import Example, Prediction
from shared.domain.names import ProjectKind
from shared.engines.base import Capabilities, Model
from shared.services.jobs import dispatch

NAME = "scripted"
_TOKEN = re.compile(r"@(\w+):(\d+)")

if _longest := os.environ.get("TEST_LONGEST_PAUSE"):
    # In a host: what fails five times takes 4 s, not 18.
    dispatch.PAUSES = tuple(min(pause, int(_longest)) for pause in dispatch.PAUSES)


async def _held(texts: Iterable[str]) -> None:
    """Wait while the test holds one of the texts."""
    hold = os.environ.get("TEST_HOLD_FILE")
    if hold and any("@hold" in text for text in texts):
        await asyncio.to_thread(_wait_until_gone, Path(hold))


def _wait_until_gone(file: Path) -> None:
    while file.exists():
        time.sleep(0.05)


class ScriptedModel:
    """Reads its predictions off the text."""

    categories: tuple[str, ...] = ()

    def __init__(self, kind: ProjectKind) -> None:
        self._kind = kind

    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        for text in texts:
            if "@fail" in text:
                raise RuntimeError("The text tells the engine to fail.")
        await _held(texts)
        return [self._of(text) for text in texts]

    def _of(self, text: str) -> list[Prediction]:
        found = [(m[1], int(m[2]) / 100, m.start(), len(m[0])) for m in _TOKEN.finditer(text)]
        if self._kind is ProjectKind.ENTITIES:
            return [Prediction(c, p, offset, length) for c, p, offset, length in found]
        return sorted(
            (Prediction(c, p) for c, p, _, _ in found), key=lambda prediction: -prediction.confidence
        )


class ScriptedEngine:
    """Its models are the name of the project's kind."""

    name = NAME
    capabilities = Capabilities(frozenset(ProjectKind), trainable=True, max_documents=25)

    def missing_for(
        self, kind: ProjectKind, examples_per_category: Mapping[str, int], labeled: int
    ) -> str | None:
        return None if labeled else "Label at least one document."

    async def fit(
        self, kind: ProjectKind, examples: Sequence[Example], *, unlabeled: Sequence[str] = (), seed: int = 0
    ) -> bytes:
        await _held(example.text for example in examples)
        if any("@unfit" in example.text for example in examples):
            raise FloatingPointError("not positive definite")
        return kind.encode()

    async def load(self, artifact: bytes) -> Model:
        return ScriptedModel(ProjectKind(artifact.decode()))


class Counted(ScriptedEngine):
    """Counts its fits; fails or waits as the test says."""

    fits: ClassVar[list[int]] = []
    fails: ClassVar[bool] = False
    held: ClassVar[asyncio.Event | None] = None

    @override
    async def fit(self, kind: ProjectKind, examples: Sequence[Example], **more: Any) -> bytes:
        self.fits.append(len(examples))
        if self.held is not None:
            await self.held.wait()
        if self.fails:
            raise FloatingPointError("not positive definite")
        return await super().fit(kind, examples, **more)
