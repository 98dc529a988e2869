"""Engines that return what they must not, or nothing: their documents fail with the reason, and the job ends (A5)."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, ClassVar, override

import numpy as np
import pytest

from shared.domain.document import ANY_VERSION, document_id
from shared.domain.jobs import Job, JobStatus, Outcome
from shared.domain.labels import EntityLabel, Labels, Prediction, Region
from shared.domain.names import Dataset, ProjectKind
from shared.domain.training import SplitKind, SplitOptions
from shared.engines.base import Model
from shared.services.autolabel import predicting
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.dispatch import TOO_OFTEN
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.services.review.documents import DocumentPatch
from shared.services.training.service import TrainRequest
from tests.support.engines import ScriptedEngine, ScriptedModel
from tests.support.lives import Life, living
from tests.support.services import Clock, result_json
from tests.support.storage.memory import MemoryStorage

GOOD, ODD = "@Refund:73 good", "@Refund:73 odd"


class OddModel(ScriptedModel):
    answer: ClassVar[Callable[[Sequence[str]], Any]]

    @override
    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        if ODD not in texts:
            return await super().predict(texts)
        found = type(self).answer(texts)
        return await found if isinstance(found, asyncio.Future) else found


class OddEngine(ScriptedEngine):
    @override
    async def load(self, artifact: bytes) -> Model:
        return OddModel(ProjectKind(artifact.decode()))


@pytest.fixture
def app(storage: MemoryStorage, clock: Clock) -> Life:
    return living(storage, clock, engine=OddEngine)


def returns(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Sequence[str]], Any]) -> None:
    monkeypatch.setattr(OddModel, "answer", staticmethod(answer), raising=False)


def each(**values: Any) -> Callable[[Sequence[str]], Any]:
    """A prediction with these values for each text."""
    given = {"category": "Refund", "confidence": 0.73, "offset": 0, "length": 3, **values}
    return lambda texts: [[Prediction(**given)] for _ in texts]


async def ready(app: Life, kind: ProjectKind) -> None:
    await app.create(kind, on_upload=False)
    await app.define("Refund")
    await app.upload({"good.txt": GOOD, "odd.txt": ODD}, events=False)
    await app.container.registering.scan(app.name, "scan")
    await app.drain()


async def _until_given_up(app: Life) -> None:
    """As the host delivers messages: each failure comes back, up to five times."""
    await app.container.autolabel.start(app.name, AutolabelRequest(), "job")
    while app.sent.waiting:
        await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))


@pytest.mark.parametrize("kind", ProjectKind)
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda texts: [], "The engine returned 0 lists of predictions for 1 texts."),
        (lambda texts: [[] for _ in texts] * 2, "The engine returned 2 lists of predictions for 1 texts."),
        (lambda texts: None, "The engine did not return a list of predictions for each text."),
        (
            lambda texts: [None for _ in texts],
            "The engine did not return a list of predictions for each text.",
        ),
        (
            lambda texts: [[{"category": "Refund"}] for _ in texts],
            "The engine returned dict in place of a prediction.",
        ),
        (
            lambda texts: [repeat(Prediction("Refund", 0.73, 0, 3)) for _ in texts],
            "The engine returned more than 100,000 predictions for a text.",
        ),
        (each(category=["Refund"]), "values have other types"),
        (each(category=None), "values have other types"),
        (each(confidence=None), "values have other types"),
        (each(confidence="0.73"), "values have other types"),
        (each(raw="0.73"), "values have other types"),
        (each(offset=0.0), "values have other types"),
        (each(length="3"), "values have other types"),
    ],
)
async def test_a_document_for_which_an_engine_returns_no_predictions_fails_alone(
    app: Life, monkeypatch: pytest.MonkeyPatch, kind: ProjectKind, answer: Callable[..., Any], why: str
) -> None:
    await ready(app, kind)
    returns(monkeypatch, answer)
    await _until_given_up(app)
    job = await app.container.autolabel.get(app.name, "job")
    counts = result_json(job)["outcomes"]
    assert (job.status, counts["suggested"], counts["failed"]) == (JobStatus.PARTIALLY_COMPLETED, 1, 1)
    [failed] = [
        o for o in await app.container.autolabel.outcomes(app.name, "job") if o.outcome is Outcome.FAILED
    ]
    assert failed.location == "odd.txt"
    assert failed.error is not None
    assert why in failed.error.message
    assert await app.pending("good.txt") == ["Refund"]


@pytest.mark.parametrize("kind", ProjectKind)
async def test_numbers_of_a_library_are_numbers(
    app: Life, monkeypatch: pytest.MonkeyPatch, kind: ProjectKind
) -> None:
    await ready(app, kind)
    number, place = np.float32(0.73), np.int64(0)
    returns(monkeypatch, each(confidence=number, raw=number, offset=place, length=place + 3))
    await _until_given_up(app)
    assert (await app.container.autolabel.get(app.name, "job")).status is JobStatus.SUCCEEDED
    found = (await app.get("odd.txt")).suggestions
    assert found is not None
    assert [item.confidence for item in found.items] == [73]


@pytest.mark.parametrize("kind", ProjectKind)
async def test_numbers_of_a_library_are_numbers_in_an_evaluation(
    app: Life, monkeypatch: pytest.MonkeyPatch, kind: ProjectKind
) -> None:
    number, place = np.float32(0.73), np.int64(0)
    returns(monkeypatch, each(confidence=number, raw=number, offset=place, length=place + 3))
    job = await _trained(app, kind)
    assert (job.status, job.errors) == (JobStatus.SUCCEEDED, ())


async def test_a_training_says_what_the_engine_returned(app: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    returns(monkeypatch, lambda texts: [])
    job = await _trained(app, ProjectKind.SINGLE_LABEL)
    assert job.status is JobStatus.FAILED
    assert "The engine returned 0 lists of predictions for 1 texts." in job.errors[0].message


async def _trained(app: Life, kind: ProjectKind) -> Job:
    """The training on the document `good.txt`, tested with `odd.txt`."""
    await ready(app, kind)
    labels = (
        Labels(regions=(Region(0, 12, (EntityLabel("Refund", 1, 6),)),))
        if kind is ProjectKind.ENTITIES
        else Labels(("Refund",))
    )
    documents = app.container.documents
    for name in ("good.txt", "odd.txt"):
        await documents.set_labels(app.name, document_id(name), ANY_VERSION, labels, "tester")
    test = DocumentPatch(dataset=Dataset.TEST)
    await documents.patch(app.name, document_id("odd.txt"), ANY_VERSION, test, "tester")
    request = TrainRequest("m", SplitOptions(SplitKind.MANUAL))
    await app.container.training.start(app.name, request, "train")
    while app.sent.waiting:
        await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))
    return await app.container.training.get(app.name, "train")


async def test_an_engine_that_never_answers_is_given_up_in_the_last_try(
    app: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ready(app, ProjectKind.SINGLE_LABEL)
    returns(monkeypatch, lambda texts: asyncio.get_running_loop().create_future())
    monkeypatch.setattr(predicting, "LAST_TRY_SECONDS", 0)
    [(_, body)] = await app.planned("job")
    message = parse(body)
    assert isinstance(message, BatchMessage)
    for _ in range(2):
        await app.container.dispatcher.give_up(message, TOO_OFTEN)
    job = await app.container.autolabel.get(app.name, "job")
    counts = result_json(job)["outcomes"]
    assert (job.status, counts["suggested"], counts["failed"]) == (JobStatus.PARTIALLY_COMPLETED, 1, 1)
    assert "TimeoutError" in job.errors[0].message
    assert await app.pending("good.txt") == ["Refund"]
