"""The engine `azure-openai` with one document per request and several concurrent requests."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from shared.domain.jobs import JobError
from shared.domain.names import ProjectKind
from shared.domain.text import NO_PRICES, Prices, Tokens
from shared.engines.azure_openai import answers, prompts
from shared.engines.azure_openai.client import CallFailed, Client, OutOfTime, Pace, Reply, Target
from shared.engines.azure_openai.turns import AT_ONCE
from shared.engines.base import (
    NO_DEADLINE,
    Answer,
    Capabilities,
    Deadline,
    OnAnswer,
    ServiceEngine,
    ServiceModel,
    Task,
    require_settings,
)

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

log = logging.getLogger("labelbridge.engines")

NAME: Final = "azure-openai"
GIVES_UP_AFTER: Final = 5
"""After this many failures in a row that are not due to the document, the rest of the batch is not sent."""
BATCH_DOCUMENTS: Final = 25
#: The longest answer, in tokens, if the settings do not say: room for models that reason before they answer.
_MOST: Final = {ProjectKind.SINGLE_LABEL: 2_000, ProjectKind.MULTI_LABEL: 4_000, ProjectKind.ENTITIES: 8_000}
#: A typical answer, in tokens; for entities also the share of the text that it repeats.
_USUAL: Final = {ProjectKind.SINGLE_LABEL: 12, ProjectKind.MULTI_LABEL: 20, ProjectKind.ENTITIES: 40}
_QUOTED: Final = 0.2
#: Common rules of thumb; the service's own count is billed. Languages without spaces have about a token per character.
_CHARACTERS_PER_TOKEN: Final = 4.0
_DENSE: Final = {"zh", "ja", "ko", "th", "my", "km", "lo"}
_TOKENS_PER_MESSAGE: Final = 4
#: The number of assumed decisions per band that agree with its confidence.
_PRIOR: Final = 10
_ENDS_BATCH: Final = frozenset({"EngineUnavailable", "EngineThrottled", "EngineTimeout"})


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """The settings: a server with OpenAI's API (`base_url`, `key`, `model`), otherwise Azure OpenAI."""

    base_url: str = ""
    key: str = ""
    model: str = ""
    azure_endpoint: str = ""
    azure_deployment: str = ""
    azure_api_version: str = ""
    azure_key: str = ""
    prices: Prices = NO_PRICES
    cost_limit: float | None = None
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    timeout: float = 30.0
    max_answer_tokens: int = 0

    def target(self) -> Target:
        """The server. Raises EngineNotConfigured, naming the settings that are missing."""
        if self.base_url or self.model:
            require_settings(NAME, {"OPENAI_BASE_URL": self.base_url, "OPENAI_MODEL": self.model})
            return Target(self.model, self.base_url, key=self.key)
        settings = {
            "AZURE_OPENAI_ENDPOINT": self.azure_endpoint,
            "AZURE_OPENAI_DEPLOYMENT": self.azure_deployment,
        }
        if any(settings.values()):
            require_settings(NAME, settings)
        else:
            others = " (or OPENAI_BASE_URL and OPENAI_MODEL for another server with its API)"
            require_settings(NAME, settings, others)
        return Target(
            self.azure_deployment,
            endpoint=self.azure_endpoint,
            api_version=self.azure_api_version,
            key=self.azure_key,
        )


class AzureOpenAIEngine(ServiceEngine):
    """Asks a large language model. `identity` makes the credential for Azure without a key."""

    name: str = NAME
    capabilities: Capabilities = Capabilities(
        kinds=frozenset(ProjectKind), trainable=False, cost_unit="token", batch_documents=BATCH_DOCUMENTS
    )
    max_examples: ClassVar[int] = 6

    def __init__(self, options: OpenAIOptions, identity: "Callable[[], AsyncTokenCredential]") -> None:
        target = options.target()
        self.model_name = target.model
        self.prices = options.prices
        self.cost_limit = options.cost_limit
        self.limited = bool(options.requests_per_minute or options.tokens_per_minute)
        self._pace = Pace(options.requests_per_minute, options.tokens_per_minute)
        self._client = Client(target, self._pace, options.timeout, identity)
        self._most = options.max_answer_tokens

    async def prepare(self, task: Task) -> bytes:
        """As `ServiceEngine.prepare`."""
        return prompts.to_bytes(task, corrections(task.decided))

    async def load(self, artifact: bytes) -> "LanguageModel":
        """As `ServiceEngine.load`."""
        task, version, calibration = prompts.from_bytes(artifact)
        most = self._most or _MOST[task.kind]
        return LanguageModel(self._client, self._pace, self.prices, task, most, version, calibration)

    def estimate(self, task: Task, documents: int, characters: int) -> Tokens:
        """As `ServiceEngine.estimate`."""
        before = prompts.messages_before(task)
        prefix = sum(_tokens_of(task, len(message["content"])) + _TOKENS_PER_MESSAGE for message in before)
        read = documents * (prefix + _TOKENS_PER_MESSAGE) + _tokens_of(task, characters)
        return Tokens(read, documents * _USUAL[task.kind] + _quoted(task, characters))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class LanguageModel(ServiceModel):
    """The language model with the task of a job."""

    def __init__(
        self,
        client: Client,
        pace: Pace,
        prices: Prices,
        task: Task,
        most: int,
        version: str,
        calibration: Sequence[float] = (),
    ) -> None:
        """`most`: the longest answer, in tokens."""
        self._client = client
        self._pace = pace
        self._prices = prices
        self._task = task
        self._most = most
        self._calibration = calibration
        self._before = prompts.messages_before(task, version)
        self._format = prompts.response_format(task)
        self._prefix = sum(len(message["content"]) for message in self._before)
        sent = [message["content"] for message in self._before] + [json.dumps(self._format)]
        self._bytes = sum(map(_bytes_of, sent))
        self.categories = tuple(sorted(category.name for category in task.categories))

    def minutes(self, texts: Sequence[str]) -> float:
        """As `ServiceModel.minutes`."""
        expected = [self._expected(text) for text in texts]
        return self._pace.minutes(len(texts), sum(tokens.input + tokens.output for tokens in expected))

    async def answer(
        self,
        texts: Sequence[str],
        allowance: float | None = None,
        *,
        deadline: Deadline = NO_DEADLINE,
        on_answer: OnAnswer | None = None,
    ) -> list[Answer]:
        """As `ServiceModel.answer`."""
        batch = _Batch(allowance, self._prices)
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(place: int, text: str) -> Answer:
            async with turns:
                refusal = await batch.begin(self._expected(text), self._longest(text))
                if refusal is not None:
                    return Answer(failure=refusal)
                answer = await self._in_batch(text, batch, deadline)
                if on_answer is not None and not answer.unsent:
                    await on_answer(place, answer)
                return answer

        tasks = [asyncio.create_task(in_turn(place, text)) for place, text in enumerate(texts)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # after an error, no more requests are sent
                task.cancel()

    async def _in_batch(self, text: str, batch: "_Batch", deadline: Deadline) -> Answer:
        answer = Answer(unsent=True)
        try:
            answer = await self._ask(text, self._expected(text), deadline)
        except OutOfTime as late:
            # Asking again ends only if each message gets at least one answer.
            if late.failure is None or batch.answered:
                return answer
            answer = Answer(failure=late.failure.error)  # says nothing of the server: it answered others
        except CallFailed as failed:
            answer = Answer(failure=failed.error, tokens=failed.tokens)
            batch.failed(failed)
        else:
            batch.in_a_row = 0
            batch.answered = True
        finally:
            await batch.end(self._longest(text), answer)
        return answer

    async def _ask(self, text: str, expected: Tokens, deadline: Deadline) -> Answer:
        """Raises CallFailed, OutOfTime."""
        reply = await self._client.complete(
            [*self._before, {"role": "user", "content": text}],
            self._format,
            tokens=expected.input + expected.output,
            most=self._most,
            characters=self._prefix + len(text),
            deadline=deadline,
        )
        used = reply.used or expected  # not every server counts
        try:
            found = await asyncio.to_thread(self._parse, text, reply)
        except answers.WrongSchema as error:
            text = f"The model's response does not match the schema: {error}."
            return Answer(failure=JobError("InvalidAnswer", text), tokens=used)
        return Answer(found.predictions, tokens=used, left_out=found.left_out)

    def _parse(self, text: str, reply: Reply) -> answers.Found:
        calibrate = partial(calibrated, self._calibration)
        return answers.read(self._task, text, reply.content, reply.tokens, calibrate)

    def _expected(self, text: str) -> Tokens:
        read = _tokens_of(self._task, self._prefix + len(text)) + _TOKENS_PER_MESSAGE * (
            len(self._before) + 1
        )
        return Tokens(read, _USUAL[self._task.kind] + _quoted(self._task, len(text)))

    def _longest(self, text: str) -> Tokens:
        """The maximum for the document: a token has at least a byte, and the answer has a limit."""
        read = self._bytes + _bytes_of(text) + _TOKENS_PER_MESSAGE * (len(self._before) + 2)
        return Tokens(read, self._most)


class _Batch:
    """The state that the requests of one call share: money that was spent or may still be, and why to stop.

    If money is limited, a document is sent only if the amount spent, the maximum cost of requests in progress and its
    own expected cost fit the allowance; otherwise it waits until requests have ended. So the amount spent exceeds the
    allowance by less than the cost of one document, the last one sent.
    """

    def __init__(self, allowance: float | None, prices: Prices) -> None:
        self._allowance = allowance
        self._prices = prices
        self._spent = self._largest = 0.0
        self._under_way: list[float] = []
        self._known = False
        self._stopped: JobError | None = None
        self._changed = asyncio.Condition()
        self.in_a_row = 0
        self.answered = False
        """Whether any document has an answer."""

    async def begin(self, expected: Tokens, longest: Tokens) -> JobError | None:
        """Wait until the document may be sent; return the reason if it may not."""
        async with self._changed:
            while self._stopped is None and not self._fits(expected):
                if not self._under_way:
                    text = "The job reached its cost limit; this document was not sent."
                    self._stopped = JobError("CostLimitReached", text)
                    self._changed.notify_all()
                    break
                await self._changed.wait()
            if self._stopped is None:
                self._under_way.append(self._cost(longest))
            return self._stopped

    async def end(self, longest: Tokens, answer: Answer) -> None:
        """Count the cost of the answer, and let waiting documents check again; `longest` as given to `begin`."""
        async with self._changed:
            self._under_way.remove(self._cost(longest))
            cost = self._cost(answer.tokens)
            self._spent += cost
            self._largest = max(self._largest, cost)
            self._known = self._known or bool(answer.tokens)
            self._changed.notify_all()

    def _fits(self, expected: Tokens) -> bool:
        if self._allowance is None:
            return True
        if self._under_way and not self._known:
            return False  # the first one shows what a document costs
        expects = max(self._cost(expected), self._largest)
        return self._spent + sum(self._under_way) + expects <= self._allowance

    def _cost(self, tokens: Tokens) -> float:
        return self._prices.cost(tokens) or 0.0

    def failed(self, failure: CallFailed) -> None:
        self.in_a_row = self.in_a_row + 1 if failure.error.code in _ENDS_BATCH else 0
        if failure.hopeless or self.in_a_row >= GIVES_UP_AFTER:
            self._stopped = failure.error


def corrections(decided: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """By how much the confidence of each band differs from the share accepted; empty without decisions.

    A band counts as if _PRIOR decisions had agreed with its confidence, so a few decisions change little. The
    corrected confidences never fall as the raw ones rise: bands that would are merged.
    """
    if not decided:
        return ()
    centers = [(place + 0.5) / len(decided) for place in range(len(decided))]
    groups: list[tuple[float, float, int]] = []  # accepted, decided, bands
    for center, (accepted, rejected) in zip(centers, decided, strict=True):
        yes, total, bands = accepted + _PRIOR * center, float(accepted + rejected + _PRIOR), 1
        while groups and groups[-1][0] / groups[-1][1] > yes / total:
            before = groups.pop()
            yes, total, bands = yes + before[0], total + before[1], bands + before[2]
        groups.append((yes, total, bands))
    shares = [accepted / total for accepted, total, bands in groups for _ in range(bands)]
    return tuple(share - center for share, center in zip(shares, centers, strict=True))


def calibrated(correction: Sequence[float], confidence: float) -> float:
    """The confidence with its band's correction, interpolated between the centers of two bands."""
    if not correction:
        return confidence
    place = min(max(confidence * len(correction) - 0.5, 0.0), len(correction) - 1.0)
    low = min(int(place), len(correction) - 2)
    change = correction[low] + (correction[low + 1] - correction[low]) * (place - low)
    return min(1.0, max(0.0, confidence + change))


def _bytes_of(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _tokens_of(task: Task, characters: int) -> int:
    dense = task.language.partition("-")[0].lower() in _DENSE
    return round(characters / (1.0 if dense else _CHARACTERS_PER_TOKEN))


def _quoted(task: Task, characters: int) -> int:
    return round(_QUOTED * _tokens_of(task, characters)) if task.kind is ProjectKind.ENTITIES else 0
