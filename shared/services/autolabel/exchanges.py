"""Batches of an external engine: between two messages of a batch, its state is stored in a blob.

A batch sends its documents and waits for the answers, but only a moment if the engine answers later. If answers are
missing, it ends without a result, and a later message of the same batch continues. Until then the batch stays leased,
so that no other worker takes it.
"""

import asyncio
import json
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from datetime import datetime, timedelta
from functools import partial
from numbers import Integral
from time import monotonic
from typing import Any, Final

from shared import telemetry
from shared.domain.jobs import AutolabelParameters, Job, JobError
from shared.domain.labels import Prediction
from shared.domain.names import ProjectKind
from shared.domain.text import Tokens, content_hash, text_records
from shared.engines.base import (
    Answer,
    Deadline,
    DeferredModel,
    EngineError,
    Exchange,
    Keep,
    ServiceModel,
    Text,
)
from shared.engines.registry import Engines
from shared.services.autolabel.predicting import checked_answer
from shared.services.jobs.dispatch import Later, reason_of
from shared.services.jobs.stores import NOT_PAID, Paid, Stores
from shared.storage.gateways.ports import StorageError
from shared.storage.models import exchange_name

log = logging.getLogger("labelbridge.jobs")

#: How long a message waits for answers: small batches have them by then.
WAIT_SECONDS: Final = 8.0
#: Seconds.
MAX_SPREAD: Final = 3.0
#: The service keeps the results of a job for a day.
GIVE_UP_AFTER: Final = timedelta(hours=24)
#: How long a message sends documents, and when the last one has been answered or has failed: well below a batch's
#: limit. The longest OPENAI_TIMEOUT_SECONDS fits between the two.
BEGIN_SECONDS: Final = 120.0
END_SECONDS: Final = 500.0
#: Delay of the message that continues, in seconds.
NEXT_SECONDS: Final = 2


class _Paid:
    """The answers of a batch so far, each with the hash of its text; as JSON, without texts.

    `paid` and `records` in the JSON say what all of them used, for a job that is stopped.
    """

    def __init__(self, state: bytes | None) -> None:
        data: dict[str, Any] = json.loads(state) if state else {}
        self._found = {
            key: (
                content,
                Answer(
                    tuple(Prediction(*row) for row in rows),
                    JobError(*failure) if failure else None,
                    Tokens(*tokens),
                    left_out,
                ),
            )
            for key, (content, rows, failure, tokens, left_out) in data.get("answers", {}).items()
        }
        #: The tokens of answers to texts that have changed since.
        self._former = Tokens(*data.get("former", (0, 0)))
        self._records = int(data.get("records", 0))

    def dump(self) -> bytes:
        answers = {
            key: [
                content,
                [astuple(prediction) for prediction in answer.predictions],
                astuple(answer.failure) if answer.failure else None,
                astuple(answer.tokens),
                answer.left_out,
            ]
            for key, (content, answer) in self._found.items()
        }
        former, paid = astuple(self._former), astuple(self.tokens)
        data = {"paid": paid, "records": self._records, "answers": answers, "former": former}
        return json.dumps(data, separators=(",", ":")).encode()

    def add(self, key: str, text: str, answer: Answer) -> None:
        if key in self._found:
            self._former += self._found[key][1].tokens
        self._found[key] = content_hash(text), answer
        self._records += 0 if answer.failure else text_records(len(text))

    def get(self, key: str, text: str) -> Answer | None:
        """The answer to this text of the document."""
        content, answer = self._found.get(key, ("", None))
        return answer if content == content_hash(text) else None

    @property
    def tokens(self) -> Tokens:
        return sum((answer.tokens for _, answer in self._found.values()), self._former)


class Exchanges:
    def __init__(self, stores: Stores, engines: Engines) -> None:
        self._stores = stores
        self._engines = engines

    async def require_answers(self, job: Job, number: int, engine: str, model: DeferredModel) -> None:
        """Ask for answers without reading documents, if all were sent. Raises Later while answers are missing."""
        found = await self._stored_exchange(job, number, model)
        if found is None:
            return
        since, exchange = found
        if exchange.waiting and not exchange.unsent and self._stores.clock() - since < GIVE_UP_AFTER:
            await self._poll(exchange, partial(self._keep, job, number, since), engine, model)

    async def answers(
        self,
        job: Job,
        number: int,
        engine: str,
        model: DeferredModel,
        texts: Mapping[str, Text],
        last_try: str | None,
    ) -> tuple[dict[str, Answer], Paid]:
        """The answers to all documents of a batch. Raises Later while some are missing, and the engine's errors.

        In the last attempt, and after a day, documents without an answer fail.
        """
        since, exchange = await self._stored_exchange(job, number, model) or (
            self._stores.clock(),
            model.exchange(),
        )
        keep = partial(self._keep, job, number, since)
        exchange.plan(texts)
        try:
            if exchange.unsent:
                await exchange.send(texts, keep, partial(self._permit, engine, model))
            if exchange.waiting and self._stores.clock() - since < GIVE_UP_AFTER:
                await self._poll(exchange, keep, engine, model)
        except (EngineError, Later) as error:
            if last_try is None:
                raise
            why = reason_of(error) if isinstance(error, EngineError) else "The engine has not responded."
            exchange.give_up(JobError("BatchFailed", f"{last_try} {why}"))
        if exchange.waiting:
            exchange.give_up(JobError("Timeout", "The service did not answer within 24 hours."))
        return _answers_of(exchange, texts), _paid_for(exchange)

    async def paid_answers(
        self,
        job: Job,
        number: int,
        model: ServiceModel,
        texts: Mapping[str, str],
        last_try: str | None,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[dict[str, Answer], Paid]:
        """The answers to all documents of a batch, and what they used. Each is stored as it arrives, and requested
        once.

        `check` raises if the caller has lost the batch, such as by a canceled job; then no more documents are sent.
        Raises Later if there is no time for the rest. In the last attempt, the rest fails.
        """
        blob = _blob(job, number)
        paid = _Paid(await self._stores.artifacts.read(blob))
        rest = [key for key in texts if paid.get(key, texts[key]) is None]
        asked = await self._next(job, model, texts, rest) if last_try is None else rest
        changes = stored = 0
        writing = asyncio.Lock()

        async def store() -> None:
            nonlocal stored
            seen = changes
            await self._stores.artifacts.write(blob, paid.dump(), content_type="application/json")
            stored = seen

        async def on_answer(place: int, answer: Answer) -> None:
            nonlocal changes
            paid.add(asked[place], texts[asked[place]], checked_answer(answer))
            changes += 1
            seen = changes
            async with writing:
                if seen != changes:  # a later one writes both
                    return
                try:
                    await store()
                except StorageError as error:  # requests in progress are paid for, so wait for their answers
                    log.warning(
                        "An answer could not be stored; it is stored with a later one: %s",
                        telemetry.in_line(error),
                    )
                if check is not None:
                    with suppress(StorageError):  # the heartbeat of the lease finds out
                        await check()

        now = monotonic()
        deadline = Deadline(now + BEGIN_SECONDS, now + END_SECONDS, monotonic)
        allowance = await self._allowance(job, paid.tokens)
        sent = [texts[key] for key in asked]
        given = await model.answer(sent, allowance, deadline=deadline, on_answer=on_answer) if asked else []
        if stored < changes:
            await store()
        each = zip(asked, map(checked_answer, given), strict=True)
        answers = {key: answer for key, answer in each if not answer.unsent}
        missing = [key for key in rest if key not in answers]
        if missing and last_try is None:
            raise Later(NEXT_SECONDS)
        failed = Answer(failure=JobError("BatchFailed", f"{last_try} The engine has not responded."))
        answers |= dict.fromkeys(missing, failed)
        found = {key: answers.get(key) or paid.get(key, text) or failed for key, text in texts.items()}
        return found, Paid(paid.tokens)

    async def so_far(
        self,
        job: Job,
        number: int,
        kind: ProjectKind,
        texts: Mapping[str, str],
        reason: JobError,
    ) -> tuple[dict[str, Answer], Paid]:
        """The answers that a batch has, if nothing more can be asked: the rest fails with this reason."""
        data = await self._stores.artifacts.read(_blob(job, number))
        failed = Answer(failure=reason)
        if data is None or data.startswith(b"{"):
            paid = _Paid(data)
            return {key: paid.get(key, text) or failed for key, text in texts.items()}, Paid(paid.tokens)
        engine = job.parameters_as(AutolabelParameters).engine or ""
        exchange = self._engines.exchange(engine, kind, data.partition(b"\n")[2])
        if exchange is None:
            return dict.fromkeys(texts, failed), NOT_PAID
        known = {key: Text(text) for key, text in texts.items()}
        exchange.plan(known)
        exchange.give_up(reason)
        return _answers_of(exchange, known), _paid_for(exchange)

    async def _next(
        self, job: Job, model: ServiceModel, texts: Mapping[str, str], rest: Sequence[str]
    ) -> Sequence[str]:
        """The documents that this message asks for: as many as it has time to send under the limits per minute.

        Reserves their turn, or raises Later.
        """
        most = BEGIN_SECONDS / 60
        if not rest or not model.minutes([texts[rest[0]]]):
            return rest
        count = 1
        while count < len(rest) and model.minutes([texts[key] for key in rest[: count + 1]]) <= most:
            count += 1
        some = rest[:count]
        engine = job.parameters_as(AutolabelParameters).engine or ""
        await self.take_turn(engine, model.minutes([texts[key] for key in some]))
        return some

    async def _allowance(self, job: Job, paid: Tokens) -> float | None:
        """What is left of the job's cost limit: its batches run one after the other."""
        asked = job.parameters_as(AutolabelParameters)
        if asked.cost_limit is None:
            return None
        states = await self._stores.jobs.states(job)
        spent = sum((state.tokens for state in states if state.done), paid)
        return asked.cost_limit - ((asked.prices.cost(spent) if asked.prices else None) or 0.0)

    async def require_turn(self, engine: str) -> None:
        """Raises Later while other batches, of any instance, use up the limits per minute."""
        _wait(await self._stores.rates.until_free(engine, self._stores.clock()))

    async def take_turn(self, engine: str, minutes: float) -> None:
        """Reserve minutes of the engine for a batch, or raise Later."""
        _wait(await self._stores.rates.reserve(engine, minutes, self._stores.clock()))

    async def remove(self, job: Job, number: int) -> None:
        """Delete the stored state: the batch is done, or its job has ended."""
        await self._stores.artifacts.delete(_blob(job, number))

    async def _poll(self, exchange: Exchange, keep: Keep, engine: str, model: DeferredModel) -> None:
        """Poll until everything is answered. Raises Later if that takes more than a moment."""
        end = monotonic() + WAIT_SECONDS
        while not exchange.unsent:
            await exchange.poll(keep, partial(self._permit, engine, model))
            if not exchange.waiting:
                return
            if monotonic() + exchange.wait > end:
                break
            await asyncio.sleep(exchange.wait)
        await keep(exchange.dump())
        raise Later(max(1, round(exchange.wait)))

    async def _permit(self, engine: str, model: DeferredModel, calls: int) -> tuple[int, float]:
        return await self._stores.rates.take(engine, model.calls_per_minute, calls, self._stores.clock())

    async def _stored_exchange(
        self, job: Job, number: int, model: DeferredModel
    ) -> tuple[datetime, Exchange] | None:
        data = await self._stores.artifacts.read(_blob(job, number))
        if data is None:
            return None
        since, _, state = data.partition(b"\n")
        return datetime.fromisoformat(since.decode()), model.exchange(state)

    async def _keep(self, job: Job, number: int, since: datetime, state: bytes) -> None:
        data = since.isoformat().encode() + b"\n" + state
        await self._stores.artifacts.write(_blob(job, number), data, content_type="application/json")


def _answers_of(exchange: Exchange, texts: Mapping[str, Text]) -> dict[str, Answer]:
    return {key: checked_answer(answer) for key, answer in exchange.answers(texts).items()}


def _paid_for(exchange: Exchange) -> Paid:
    """The attribute `records` of an exchange, which one of EXTRA_ENGINES may lack."""
    records = getattr(exchange, "records", None)
    return Paid(records=int(records) if isinstance(records, Integral) else None)


def _wait(seconds: float) -> None:
    """Raises Later, unless there is nothing to wait for. The delay is random, so that batches resume at different
    times.
    """
    if seconds:
        raise Later(math.ceil(seconds + random.uniform(0, MAX_SPREAD)))


def _blob(job: Job, number: int) -> str:
    return exchange_name(job.incarnation, job.id, number)
