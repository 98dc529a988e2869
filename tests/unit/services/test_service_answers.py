"""Services, as of EXTRA_ENGINES, whose answers have numbers of a library or values that they must not have."""

from collections.abc import Sequence
from typing import Any, override

import numpy as np
import pytest

from shared.domain.jobs import JobError, JobStatus, Outcome
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.domain.text import Tokens
from shared.engines.base import (
    NO_DEADLINE,
    Answer,
    Capabilities,
    Deadline,
    OnAnswer,
    ServiceEngine,
    ServiceModel,
    Task,
)
from shared.services.autolabel.service import AutolabelRequest
from shared.services.jobs.lifecycle import parse
from tests.support.services import App, Clock, in_process, result_json
from tests.support.storage.memory import MemoryStorage

GOOD, ODD = "good", "odd"
USUAL = Answer((Prediction("Refund", 0.73),), tokens=Tokens(100, 10), left_out=1)
NUMBER: Any = np.int64(1)


class Service(ServiceEngine):
    """Answers one text as the test says, others as usual; `asked` has all texts that it got."""

    name = "service"
    capabilities = Capabilities(frozenset(ProjectKind), trainable=False, cost_unit="token")
    model_name = "model"

    def __init__(self) -> None:
        self.odd: Any = USUAL
        self.asked: list[str] = []

    @override
    async def prepare(self, task: Task) -> bytes:
        return b"task"

    @override
    async def load(self, artifact: bytes) -> ServiceModel:
        return Model(self)


class Model(ServiceModel):
    categories = ("Refund",)

    def __init__(self, service: Service) -> None:
        self._service = service

    @override
    async def answer(
        self,
        texts: Sequence[str],
        allowance: float | None = None,
        *,
        deadline: Deadline = NO_DEADLINE,
        on_answer: OnAnswer | None = None,
    ) -> list[Answer]:
        answers = [self._service.odd if text == ODD else USUAL for text in texts]
        for place, (text, answer) in enumerate(zip(texts, answers, strict=True)):
            self._service.asked.append(text)
            if on_answer is not None:
                await on_answer(place, answer)
        return answers


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def app(service: Service, storage: MemoryStorage, clock: Clock) -> App:
    made = in_process(storage, clock, engines={"service": lambda: service})
    await made.create(on_upload=False)
    await made.define("Refund")
    await made.upload({"good.txt": GOOD, "odd.txt": ODD})
    await made.drain()
    return made


async def _until_ended(app: App) -> None:
    await app.container.autolabel.start(app.name, AutolabelRequest("service"), "job")
    while app.sent.waiting:
        await app.container.dispatcher.run_or_retry(parse(app.sent.waiting.popleft()[1]))


async def test_what_is_reported_in_numbers_of_a_library_is_counted(app: App, service: Service) -> None:
    service.odd = Answer(
        (Prediction("Refund", NUMBER * 0.73, raw=np.float32(0.73)),),  # type: ignore[arg-type]
        tokens=Tokens(NUMBER * 100, NUMBER * 10),
        left_out=NUMBER,
    )
    await _until_ended(app)
    job = await app.container.autolabel.get(app.name, "job")
    result = result_json(job)
    assert (job.status, result["outcomes"]["suggested"]) == (JobStatus.SUCCEEDED, 2)
    assert (result["tokens"], result["leftOut"]) == ({"input": 200, "output": 20}, 2)
    assert sorted(service.asked) == [GOOD, ODD]


WRONG_TYPES = "The engine reported what an answer used in other types than whole numbers."
WRONG_FAILURE = "The engine reported a failure whose values have other types than they must."
REFUSED = JobError("ContentFilter", "The content filter refused the text.")


@pytest.mark.parametrize(
    ("answer", "why", "tokens"),
    [
        (None, "The engine returned NoneType in place of an answer.", 100),
        (Answer(tokens=Tokens(1.5, 0)), WRONG_TYPES, 100),  # type: ignore[arg-type]
        (Answer(left_out="1"), WRONG_TYPES, 100),  # type: ignore[arg-type]
        (Answer(tokens=None), WRONG_TYPES, 100),  # type: ignore[arg-type]
        (Answer(tokens=(1, 2)), WRONG_TYPES, 100),  # type: ignore[arg-type]
        (Answer(failure="no", tokens=Tokens(1, 0)), WRONG_FAILURE, 101),  # type: ignore[arg-type]
        (Answer(failure=JobError("E", ValueError("no"))), WRONG_FAILURE, 100),  # type: ignore[arg-type]
        (Answer(failure=JobError("E", "no", 1)), WRONG_FAILURE, 100),  # type: ignore[arg-type]
        (Answer(None, failure=REFUSED, tokens=Tokens(1, 0)), REFUSED.message, 101),  # type: ignore[arg-type]
        (
            Answer((Prediction("Refund", "0.73"),), tokens=Tokens(NUMBER, 0)),  # type: ignore[arg-type]
            "The engine returned a prediction whose values have other types than they must.",
            101,
        ),
    ],
)
async def test_an_answer_that_cannot_be_used_fails_its_document_and_is_paid_once(
    app: App, service: Service, answer: Any, why: str, tokens: int
) -> None:
    service.odd = answer
    await _until_ended(app)
    job = await app.container.autolabel.get(app.name, "job")
    result = result_json(job)
    assert (job.status, result["outcomes"]["suggested"]) == (JobStatus.PARTIALLY_COMPLETED, 1)
    assert result["tokens"]["input"] == tokens
    outcomes = await app.container.autolabel.outcomes(app.name, "job")
    [failed] = [outcome for outcome in outcomes if outcome.outcome is Outcome.FAILED]
    assert (failed.location, failed.error and failed.error.message) == ("odd.txt", why)
    assert sorted(service.asked) == [GOOD, ODD]


async def test_the_code_of_a_refusal_is_kept_whatever_its_predictions(app: App, service: Service) -> None:
    service.odd = Answer(None, failure=REFUSED)  # type: ignore[arg-type]
    await _until_ended(app)
    outcomes = await app.container.autolabel.outcomes(app.name, "job")
    assert [outcome.error for outcome in outcomes if outcome.outcome is Outcome.FAILED] == [REFUSED]
