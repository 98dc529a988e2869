"""Predictions for the texts of a batch, in groups that the engine takes in one call."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from shared.domain.jobs import JobError
from shared.domain.prediction import Prediction
from shared.engines.base import Capabilities, EngineError, Model

log = logging.getLogger("labelbridge.jobs")
MAX_FAILURES = 5
"""Documents that fail before any succeeds until the engine is given up: each try may cost time and money."""

type Predictions = dict[str, list[Prediction]]
type Failures = dict[str, JobError]


async def predict(
    load: Callable[[], Awaitable[Model]], limits: Capabilities, texts: Mapping[str, str], last_try: str | None
) -> tuple[Predictions, Failures]:
    """Predictions by document id. Raises what the engine raises, to be tried again.

    In the last try, `last_try` is what to say: then a group that fails is predicted text by text, and only those on
    which the engine fails are failures.
    """
    predictions: Predictions = {}
    failures: Failures = {}
    try:
        model = await load()
    except Exception as error:
        if last_try is None:
            raise
        return predictions, dict.fromkeys(texts, _failure(last_try, error))
    for group in _groups(texts, limits):
        try:
            found = await model.predict([texts[key] for key in group])
        except Exception:
            if last_try is None:
                raise
            log.warning("A group of %d documents fails; each is tried alone.", len(group), exc_info=True)
            await _singly(model, {key: texts[key] for key in group}, last_try, predictions, failures)
        else:
            predictions.update(zip(group, found, strict=True))
    return predictions, failures


async def _singly(
    model: Model, texts: Mapping[str, str], last_try: str, predictions: Predictions, failures: Failures
) -> None:
    last = next(reversed(failures.values()), None)
    for key, text in texts.items():
        if last is not None and len(failures) >= MAX_FAILURES and not predictions:
            failures[key] = last
            continue
        try:
            [predictions[key]] = await model.predict([text])
        except Exception as error:
            log.warning("The engine fails on the document %s.", key, exc_info=True)
            failures[key] = last = _failure(last_try, error)


def _failure(last_try: str, error: Exception) -> JobError:
    return JobError("BatchFailed", f"{last_try} {reason_of(error)}")


def reason_of(error: Exception) -> str:
    """For people: what an engine says, and of other errors only the kind, for they may quote a document."""
    return str(error) if isinstance(error, EngineError) else f"The last error was {type(error).__name__}."


def _groups(texts: Mapping[str, str], limits: Capabilities) -> list[list[str]]:
    """Document ids in groups that the engine takes in one call."""
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
