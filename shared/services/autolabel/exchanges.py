"""Batches of an engine that answers later: between two messages of a batch, its exchange is a blob of ours.

A batch sends its documents, waits a moment for the answers, and else ends without a result; a later message of the
same batch asks again. Until then the batch stays leased, so that nobody else takes it up.
"""

import asyncio
import math
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final

from shared.domain.jobs import Job, JobError
from shared.engines.base import Answer, DeferredModel, EngineError, Exchange, Keep, Text
from shared.services.jobs.lifecycle import Later, reason_of
from shared.services.jobs.stores import Stores

#: How long a message waits for answers itself: few documents have them by then.
WAIT_SECONDS: Final = 8.0
#: Seconds.
MAX_SPREAD: Final = 3.0
#: The service keeps the results of a job for a day.
GIVE_UP_AFTER: Final = timedelta(hours=24)


class Exchanges:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def require_answers(self, job: Job, number: int, engine: str, model: DeferredModel) -> None:
        """Ask for answers without reading a document, if all were sent. Raises Later while answers are missing."""
        found = await self._read(job, number, model)
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
    ) -> dict[str, Answer]:
        """The answers to all documents of a batch. Raises Later while some are missing, and what the engine raises.

        In the last try, and after a day, documents without an answer fail.
        """
        since, exchange = await self._read(job, number, model) or (self._stores.clock(), model.exchange())
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
            why = reason_of(error) if isinstance(error, EngineError) else "The engine has not answered."
            exchange.give_up(JobError("BatchFailed", f"{last_try} {why}"))
        if exchange.waiting:
            exchange.give_up(JobError("Timeout", "The service did not answer within 24 hours."))
        return exchange.answers(texts)

    async def require_turn(self, engine: str) -> None:
        """Raises Later while other batches, of any instance, take what the limits per minute allow."""
        _wait(await self._stores.rates.until_free(engine, self._stores.clock()))

    async def take_turn(self, engine: str, minutes: float) -> None:
        """Take so many minutes of the engine for a batch, or raise Later."""
        _wait(await self._stores.rates.reserve(engine, minutes, self._stores.clock()))

    async def remove(self, job: Job, number: int) -> None:
        """The batch is done, or its job is over."""
        await self._stores.artifacts.delete(_blob(job, number))

    async def _poll(self, exchange: Exchange, keep: Keep, engine: str, model: DeferredModel) -> None:
        """Ask until everything is answered. Raises Later when that takes more than a moment."""
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

    async def _read(self, job: Job, number: int, model: DeferredModel) -> tuple[datetime, Exchange] | None:
        data = await self._stores.artifacts.read(_blob(job, number))
        if data is None:
            return None
        since, _, state = data.partition(b"\n")
        return datetime.fromisoformat(since.decode()), model.exchange(state)

    async def _keep(self, job: Job, number: int, since: datetime, state: bytes) -> None:
        data = since.isoformat().encode() + b"\n" + state
        await self._stores.artifacts.write(_blob(job, number), data, content_type="application/json")


def _wait(seconds: float) -> None:
    """Raises Later, unless there is nothing to wait for. Batches that wait for the same moment come back apart."""
    if seconds:
        raise Later(math.ceil(seconds + random.uniform(0, MAX_SPREAD)))


def _blob(job: Job, number: int) -> str:
    return f"{job.incarnation}/exchanges/{job.id}/{number}"
