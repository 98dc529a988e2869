"""The interface of engines, and their errors.

EngineError                  an answer to the caller; the message is meant for a person
├── UnknownEngine            no engine has this name
├── EngineNotConfigured      a setting is missing
├── NotEnoughExamples        the engine cannot be fitted on these labels yet
├── ArtifactError            the bytes are not a model of this engine
└── EngineUnavailable        a remote engine does not answer; try again
"""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import ClassVar, Final, Literal, Protocol
from urllib.parse import quote

from shared import telemetry
from shared.domain.jobs import JobError
from shared.domain.labels import Example, Prediction
from shared.domain.names import ProjectKind
from shared.domain.project import Category, DeployedModel
from shared.domain.text import NO_PRICES, NO_TOKENS, Prices, Tokens

log = logging.getLogger("labelbridge.engines")

type CostUnit = Literal["none", "textRecord", "token"]

_stacks: Final = telemetry.Stacks()


class EngineError(Exception):
    """Base of the errors of engines."""


class UnknownEngine(EngineError):
    """No engine has this name."""


class EngineNotConfigured(EngineError):
    """A setting that the engine needs is missing."""


class NotEnoughExamples(EngineError):
    """The engine cannot be fitted on these labels yet."""


class ArtifactError(EngineError):
    """The bytes are not a model that this engine can read."""


class EngineUnavailable(EngineError):
    """The engine does not answer now; the same request may succeed later."""


@contextmanager
def calling(engine: str) -> Generator[None]:
    """Around calls of an engine and reads of its attributes: whatever else they raise becomes an EngineError.

    A class of EXTRA_ENGINES may raise anything. The stack is logged the first time.
    """
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        text, kind = "The engine '%s' failed: %s", type(error).__name__
        log.error(text, engine, telemetry.in_line(error), exc_info=_stacks.of(error))  # noqa: TRY400 - the stack once
        raise EngineError(f"The engine '{engine}' failed ({kind}). The log has the details.") from error


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of an engine. A limit that is `None` does not exist."""

    kinds: frozenset[ProjectKind]
    trainable: bool
    max_documents: int | None = None
    """Documents in one call of `predict`."""
    max_characters: int | None = None
    """Characters in one call of `predict`, over all its documents."""
    languages: frozenset[str] | None = None
    cost_unit: CostUnit = "none"
    batch_documents: int | None = None
    """The approximate number of documents in one batch of a job: a batch must end within a function's time limit."""


#: Labels that a fit could not use. An engine may add reasons of its own.
LEFT_OUT: Final = {
    "blank": "Entities left out because they contain only whitespace",
    "outsideText": "Entities left out because they do not lie within the text",
    "overlap": "Entities left out because they overlap another entity",
    "unread": "Entities left out because they are beyond the part of a long document that is read",
    "unreadDocument": "Documents left out because all documents together are too long",
    "noClass": "Documents left out because they have no class",
    "severalClasses": "Documents left out because they have several classes",
}
#: Labels that a fit used in another form.
ADJUSTED: Final = {
    "blankEdges": "Entities trained without the whitespace at their ends",
    "partOfWord": "Entities extended to whole words",
}


@dataclass(frozen=True, slots=True)
class FitReport:
    """Counts of labels that a fit left out or adjusted: keys of `LEFT_OUT` and `ADJUSTED`, counts above 0."""

    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    adjusted: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def lines(self) -> list[str]:
        """For people: one line for each reason."""
        texts = LEFT_OUT | ADJUSTED
        counts = {**self.left_out, **self.adjusted}
        return [f"{texts.get(reason, reason)}: {count}." for reason, count in counts.items()]


def fit_report(model: "Model") -> FitReport:
    """The report of the fit that made the model; empty if the engine keeps none."""
    report = getattr(model, "report", None)
    return report if isinstance(report, FitReport) else FitReport()


class Model(Protocol):
    """A fitted model in memory. It may be used by several tasks at once."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories it can predict, sorted."""
        ...

    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """One list per text, in the order of the texts.

        Single-label: the best categories, surest first, never empty. Multi-label: the categories that the model
        chooses, surest first. Entities: spans in the order of the text, without overlaps. At most 100,000 per text.
        """
        ...


class Engine(Protocol):
    """Fits models on labels, and loads them."""

    @property
    def name(self) -> str:
        """The name that jobs use."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""
        ...

    def missing_for(
        self, kind: ProjectKind, examples_per_category: Mapping[str, int], labeled: int
    ) -> str | None:
        """Why the engine cannot be fitted on this number of labels yet, for a person; None if it can.

        `examples_per_category` counts labeled documents (entities: spans); `labeled` counts labeled documents,
        including those labeled with nothing.
        """
        ...

    async def fit(
        self, kind: ProjectKind, examples: Sequence[Example], *, unlabeled: Sequence[str] = (), seed: int = 0
    ) -> bytes:
        """A model as bytes for `load`. The same arguments give the same model.

        `unlabeled` are other texts of the project; the engine may learn their words. Raises
        NotEnoughExamples.
        """
        ...

    async def load(self, artifact: bytes) -> Model:
        """The model that `fit` made. Raises ArtifactError."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What a service gets with each job, because it does not learn: the categories that the job asks for, and some
    labeled documents, at most `ServiceEngine.max_examples`. `language` is the project's; `deployed` is the target of
    the last push. `decided`: how many of the engine's suggestions were accepted and rejected, in evenly spaced bands
    of their raw confidence.
    """

    kind: ProjectKind
    categories: tuple[Category, ...]
    examples: tuple[Example, ...] = ()
    language: str = ""
    deployed: DeployedModel | None = None
    decided: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's answer for one document: predictions, or why there are none.

    `left_out`: predictions that were dropped because they are not in the text or name no category of the task.
    `unsent`: the document was not sent before the deadline; ask again.
    """

    predictions: tuple[Prediction, ...] = ()
    failure: JobError | None = None
    tokens: Tokens = NO_TOKENS
    left_out: int = 0
    unsent: bool = False


@dataclass(frozen=True, slots=True)
class Deadline:
    """The limits of a call of `ServiceModel.answer`: no document is sent after `begin`, and all have an answer by
    `end`.

    Both are times of `clock`, in seconds.
    """

    begin: float = inf
    end: float = inf
    clock: Callable[[], float] = monotonic

    def to_begin(self) -> float:
        """Seconds until `begin`; negative when it has passed."""
        return self.begin - self.clock()

    def to_end(self) -> float:
        """Seconds until `end`."""
        return self.end - self.clock()


NO_DEADLINE: Final = Deadline()

type OnAnswer = Callable[[int, Answer], Awaitable[None]]
"""Called as the answer for a document arrives, with the document's place in the list and the answer."""


class ServiceModel(ABC):
    """A service with its task. It answers document by document, so a failure affects one document only."""

    categories: tuple[str, ...]

    @abstractmethod
    async def answer(
        self,
        texts: Sequence[str],
        allowance: float | None = None,
        *,
        deadline: Deadline = NO_DEADLINE,
        on_answer: OnAnswer | None = None,
    ) -> list[Answer]:
        """One answer per text, in the order of the texts. A failure is an answer, too, and is not raised.

        `allowance`: the money that may be spent; texts beyond it are not sent and fail with `CostLimitReached`.
        """
        ...

    def minutes(self, texts: Sequence[str]) -> float:
        """The minimum time for the texts under the limits per minute; 0 without limits."""
        return 0.0

    async def predict(self, texts: Sequence[str]) -> list[list[Prediction]]:
        """As `Model.predict`. Raises EngineError for the first text that failed."""
        answers = await self.answer(texts)
        failure = next((answer.failure for answer in answers if answer.failure is not None), None)
        if failure is not None:
            raise EngineError(failure.message)
        return [list(answer.predictions) for answer in answers]


REDACTED: Final = "[redacted]"
_MAX_SAID: Final = 4_000
_MIN_SECRET: Final = 4
_SECRETS: set[str] = set()
_CREDENTIALS: Final = re.compile(
    r"""(\b(?:proxy-)?authorization\b|\b(?:x-)?api[-_ ]?key\b|\bocp-apim-subscription-key\b)
        (["']?(?:\ provided)?\s*[:=]\s*["']?)(?:(?:bearer|basic)\s+)?[^\s"',;]+
    |\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}
    |\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*""",
    re.IGNORECASE | re.VERBOSE,
)


def keep_secret(value: str) -> None:
    """From now on, `redacted` leaves out this key of a service."""
    if len(value) >= _MIN_SECRET:
        _SECRETS.update({value, quote(value, safe="")})


def redacted(text: str) -> str:
    """A service's message, without the app's keys and the values of sign-in headers, which it may repeat.

    A long text is cut at a space within its first 4,000 characters, so that it does not end inside a key.
    """
    if len(text) > _MAX_SAID:
        text = text[:_MAX_SAID].rpartition(" ")[0]
    for secret in sorted(_SECRETS, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return _CREDENTIALS.sub(
        lambda found: f"{found[1] or found[3] or ''}{found[2] or found[4] or ''}{REDACTED}", text
    )


def require_settings(engine: str, settings: Mapping[str, str], instead: str = "") -> None:
    """Raises EngineNotConfigured, which names the settings without a value and what can be set instead."""
    missing = [name for name, value in settings.items() if not value]
    if missing:
        names = " and ".join(missing) if len(missing) < 3 else f"{', '.join(missing[:-1])} and {missing[-1]}"
        raise EngineNotConfigured(f"The engine '{engine}' is not configured: set {names}{instead}.")


class ServiceEngine(ABC):
    """An external engine. It is not trained here and needs no labels."""

    name: str
    capabilities: Capabilities
    max_examples: ClassVar[int] = 0
    """The maximum of labeled documents in a task; 0: none."""
    deferred: ClassVar[bool] = False
    """Whether its models are DeferredModels."""
    model_name: str | None = None
    """The service's name of the model that every project uses; see `model_of`."""
    prices: Prices = NO_PRICES
    limited: bool = False
    """Whether there are limits per minute, shared by all instances of the app; see `ServiceModel.minutes`."""
    cost_limit: float | None = None
    """The cost limit of a job whose request sets none."""

    def missing_for(
        self, kind: ProjectKind, examples_per_category: Mapping[str, int], labeled: int
    ) -> str | None:
        """As `Engine.missing_for`: nothing is ever missing."""
        return None

    async def fit(
        self, kind: ProjectKind, examples: Sequence[Example], *, unlabeled: Sequence[str] = (), seed: int = 0
    ) -> bytes:
        """Raises EngineError."""
        raise EngineError(f"The engine '{self.name}' is not trained here.")

    def model_of(self, deployed: DeployedModel | None) -> str | None:
        """The model that suggestions name; `deployed` is None for a project that was not pushed."""
        return self.model_name

    def named_at(self, deployed: DeployedModel | None, edits: int) -> int:
        """The number of category edits that the model of a project includes; `edits`: how many there are now."""
        return edits

    def missing_model(self, deployed: DeployedModel | None) -> str | None:
        """Why the engine has no model for the project; None if it has one. `deployed` as in `model_of`."""
        return None

    @abstractmethod
    async def prepare(self, task: Task) -> bytes:
        """The task as bytes for `load`; the same task gives the same bytes. Raises EngineError."""
        ...

    @abstractmethod
    async def load(self, artifact: bytes) -> ServiceModel:
        """The service with the task. Raises ArtifactError."""
        ...

    @staticmethod
    def kept(kind: ProjectKind, state: bytes) -> "Exchange | None":
        """An exchange with this state, only to read its answers: it asks nothing, so it needs no settings and no
        model. None if the engine's models have no exchanges.
        """
        return None

    def estimate(self, task: Task, documents: int, characters: int) -> Tokens | None:
        """The estimated tokens for documents with so many characters in all; None: not billed by the token."""
        return None


@dataclass(frozen=True, slots=True)
class Text:
    """A document for a service: its text and its language, "" if unknown."""

    text: str
    language: str = ""


type Keep = Callable[[bytes], Awaitable[None]]
"""Stores the state of an exchange."""
type Permit = Callable[[int], Awaitable[tuple[int, float]]]
"""Asks for a number of calls of a service: how many are allowed now and, if none, after how many seconds."""


class Exchange(Protocol):
    """Documents sent to an asynchronous service, and the answers so far.

    Its state can be stored, and another process can continue the exchange: nothing is sent twice. The calls raise
    EngineUnavailable for temporary failures; by then, `keep` has the state of everything that was sent.
    """

    wait: float
    """Seconds until another call makes sense."""
    records: int
    """Text records that the service accepted and did not answer with an error."""

    @property
    def unsent(self) -> bool:
        """Whether there is anything for `send`, which needs the texts."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether answers are missing."""
        ...

    def plan(self, texts: Mapping[str, Text]) -> None:
        """Add documents by their keys; those that are there with the same text stay as they are."""
        ...

    async def send(self, texts: Mapping[str, Text], keep: Keep, permit: Permit) -> None:
        """Send what has not been sent."""
        ...

    async def poll(self, keep: Keep, permit: Permit) -> None:
        """Ask for answers to what was sent."""
        ...

    def give_up(self, reason: JobError) -> None:
        """Let every document without an answer fail with this reason."""
        ...

    def answers(self, texts: Mapping[str, Text]) -> dict[str, "Answer"]:
        """The answers to these documents."""
        ...

    def dump(self) -> bytes:
        """The state. If it is a JSON object, its number `records` is counted when the job is canceled."""
        ...


class DeferredModel(ServiceModel):
    """An asynchronous service: a batch leaves its exchange for a later message."""

    calls_per_minute: ClassVar[int]
    """The limit of the service, across all instances of the app."""

    @abstractmethod
    def exchange(self, state: bytes | None = None) -> Exchange:
        """A new exchange, or the one with this state."""
        ...
