"""Azure's `result` of a train job as its work goes on: the states of the training and of the evaluation in it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.domain.jobs import JobStatus
from shared.wire.answers import moment
from shared.wire.training import CONFIG_VERSION

TRAINING, EVALUATION = "trainingStatus", "evaluationStatus"

type Result = dict[str, Any]


def begun(model_label: str) -> Result:
    """Nothing was done yet."""
    nothing = {"percentComplete": 0, "status": JobStatus.NOT_STARTED.value}
    return {
        "modelLabel": model_label,
        "trainingConfigVersion": CONFIG_VERSION,
        TRAINING: nothing,
        EVALUATION: nothing,
    }


def fitting(result: Mapping[str, Any], now: datetime) -> Result:
    """The documents are read and the engine fitted; `now`: when this began."""
    return {**result, TRAINING: _running(result[TRAINING], now)}


def evaluating(result: Mapping[str, Any], now: datetime) -> Result:
    """The model is made, and is tested from now on."""
    return {
        **result,
        TRAINING: _succeeded(result[TRAINING], now),
        EVALUATION: _running(result[EVALUATION], now),
    }


def succeeded(result: Mapping[str, Any], now: datetime) -> Result:
    """Both are done."""
    return {**result, EVALUATION: _succeeded(result[EVALUATION], now)}


def stopped(result: Mapping[str, Any], status: JobStatus, now: datetime) -> Result:
    """What was not done by now never will be; how far it came stays to be seen."""
    done = JobStatus.SUCCEEDED.value
    parts = {name: result[name] for name in (TRAINING, EVALUATION) if name in result}
    end = {"status": status.value, "endDateTime": moment(now)}
    return {**result, **{name: {**part, **end} for name, part in parts.items() if part["status"] != done}}


def _running(part: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A worker that goes on after a crash began when the first one did."""
    start = part.get("startDateTime", moment(now))
    percent = part["percentComplete"] or 10
    return {"percentComplete": percent, "status": JobStatus.RUNNING.value, "startDateTime": start}


def _succeeded(part: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {**part, "percentComplete": 100, "status": JobStatus.SUCCEEDED.value, "endDateTime": moment(now)}
