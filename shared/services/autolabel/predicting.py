"""Predictions of a model for the texts of a batch; in the last attempt, as few documents as possible fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any, Final

from shared import telemetry
from shared.domain.jobs import JobError
from shared.domain.labels import Prediction
from shared.domain.text import Tokens
from shared.engines.base import Answer, Capabilities, EngineError, Model
from shared.engines.responses import checked
from shared.services.jobs.dispatch import reason_of

log = logging.getLogger("labelbridge.jobs")

#: After this many failures without a success, the engine is given up: an attempt may cost time and money.
MAX_FAILURES: Final = 5
#: The longest that the last attempt waits for the engine, in seconds. The one before may have taken BATCH_SECONDS in
#: the same invocation; both together must be shorter than `functionTimeout`.
LAST_TRY_SECONDS: Final = 500.0

type Predictions = dict[str, list[Prediction]]
type Failures = dict[str, JobError]


async def predict(
    load: Callable[[], Awaitable[Model]],
    limits: Capabilities,
    texts: Mapping[str, str],
    last_try: str | None,
) -> tuple[Predictions, Failures]:
    """Predictions by document id. Raises the engine's errors, so that the work is tried again.

    `last_try`: in the last attempt, the beginning of the message for documents that fail. No error is raised then. If
    the engine fails on several texts, it gets them one by one, and those that fail or time out are in the failures.
    """
    predictions: Predictions = {}
    failures: Failures = {}
    end = None if last_try is None else asyncio.get_running_loop().time() + LAST_TRY_SECONDS
    try:
        async with asyncio.timeout_at(end):
            model = await load()
    except Exception as error:
        if last_try is None:
            raise
        log_last_try(len(texts), error)
        return predictions, dict.fromkeys(texts, failure(last_try, error))
    for group in _groups(texts, limits):
        try:
            async with asyncio.timeout_at(end):
                found = checked(await model.predict([texts[key] for key in group]), len(group))
        except Exception as error:
            if last_try is None:
                raise
            log_last_try(len(group), error)
            await _singly(model, {key: texts[key] for key in group}, last_try, end, predictions, failures)
        else:
            predictions.update(zip(group, found, strict=True))
    return predictions, failures


async def _singly(
    model: Model,
    texts: Mapping[str, str],
    last_try: str,
    end: float | None,
    predictions: Predictions,
    failures: Failures,
) -> None:
    last = next(reversed(failures.values()), None)
    for key, text in texts.items():
        if last is not None and len(failures) >= MAX_FAILURES and not predictions:
            failures[key] = last
            continue
        try:
            async with asyncio.timeout_at(end):
                [predictions[key]] = checked(await model.predict([text]), 1)
        except Exception as error:  # noqa: BLE001 - the try before has the stack
            reason = telemetry.in_line(error)
            log.warning("The engine failed on the document %s: %s", key, reason, extra={"document": key})
            failures[key] = last = failure(last_try, error)


def checked_answer(found: Any) -> Answer:
    """What a service answered for a text, as `checked`. What cannot be used is the failure of its document and not
    raised: the answer is paid for, so it is not asked for again.
    """
    if not isinstance(found, Answer):
        return _unusable(f"The engine returned {type(found).__name__} in place of an answer.")
    used: Any = found.tokens
    counts: tuple[Any, ...] = (
        (used.input, used.output, found.left_out) if isinstance(used, Tokens) else (None,)
    )
    if not all(isinstance(number, Integral) for number in counts):
        return _unusable("The engine reported what an answer used in other types than whole numbers.")
    tokens, left_out = Tokens(int(counts[0]), int(counts[1])), int(counts[2])
    if found.failure is not None:  # the reason counts, whatever the predictions are
        text = "The engine reported a failure whose values have other types than they must."
        found = found if _is_reason(found.failure) else _unusable(text)
        return replace(found, predictions=(), tokens=tokens, left_out=left_out)
    try:
        [predictions] = checked([found.predictions], 1)
    except EngineError as error:
        return replace(_unusable(str(error)), tokens=tokens, left_out=left_out)
    return replace(found, predictions=tuple(predictions), tokens=tokens, left_out=left_out)


def _unusable(reason: str) -> Answer:
    return Answer(failure=JobError("BatchFailed", reason))


def _is_reason(found: Any) -> bool:
    if not isinstance(found, JobError):
        return False
    target: Any = found.target
    values: tuple[Any, ...] = (found.code, found.message, "" if target is None else target)
    return all(isinstance(value, str) for value in values)


def _groups(texts: Mapping[str, str], limits: Capabilities) -> list[list[str]]:
    """Document ids in groups, one for each call of the engine."""
    groups: list[list[str]] = []
    count = size = 0
    for key, text in texts.items():
        over_count = limits.max_documents is not None and count >= limits.max_documents
        over_size = limits.max_characters is not None and size + len(text) > limits.max_characters
        if not groups or over_count or over_size:
            groups.append([])
            count = size = 0
        groups[-1].append(key)
        count += 1
        size += len(text)
    return groups


def log_last_try(count: int, error: Exception) -> None:
    """One line: the previous attempt, which gave up, has logged the stack."""
    log.warning("The engine's last attempt failed for %d documents: %s", count, telemetry.in_line(error))


def failure(last_try: str, error: Exception) -> JobError:
    """Why a document has no suggestions, after the last attempt."""
    return JobError("BatchFailed", f"{last_try} {reason_of(error)}")
