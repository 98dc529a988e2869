"""Rows of jobs: parameters and results of every kind, as earlier versions wrote them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.jobs import (
    AutolabelParameters,
    Batch,
    BulkParameters,
    BulkResult,
    ConnectionParameters,
    ConnectionResult,
    EvaluateParameters,
    Job,
    JobKind,
    JobSource,
    JobStatus,
    NoParameters,
    RegisterParameters,
    ScanParameters,
    ScanResult,
    TrainingState,
    TrainParameters,
    TrainResult,
    UndoParameters,
    UndoResult,
)
from shared.domain.names import ProjectKind, Studio
from shared.domain.training import SplitKind
from shared.domain.transfers import ImportParameters, ImportResult, ImportSource
from shared.storage import rows
from shared.storage.gateways.ports import Insert
from shared.storage.jobs import JobStore
from tests.support.storage.memory import MemoryStorage

AT = datetime(2026, 1, 1, tzinfo=UTC)
PLANNED = {
    "modelLabel": None, "kind": "CustomEntityRecognition", "engine": "embedded", "artefact": "i/fitted/1",
    "categories": ["Name", "Date"], "threshold": 40,
}  # fmt: skip
PLAN = {
    "project_kind": ProjectKind.ENTITIES, "engine": "embedded", "artifact": "i/fitted/1",
    "categories": ("Name", "Date"), "threshold": 40,
}  # fmt: skip
BULK = {
    "by": "ann", "accept": True, "low": 80, "high": None, "categories": None, "fromJob": None, "prefix": "a/",
    "dryRun": False,
}  # fmt: skip
OUTCOMES = {"suggested": 1, "nothingFound": 0, "skipped": 0, "failed": 0}
TRAIN = {"modelLabel": "m1", "engine": "embedded", "split": "percentage", "testing": 20, "origin": None}
STATES = {
    "trainingStatus": {
        "percentComplete": 100, "status": "succeeded", "startDateTime": "2026-01-01T00:00:00.000Z",
        "endDateTime": "2026-01-01T00:00:01.000Z",
    },
    "evaluationStatus": {"percentComplete": 0, "status": "notStarted"},
}  # fmt: skip

#: Kind, the parameters as earlier versions wrote them, and what they are read as.
PARAMETERS = [
    (JobKind.AUTOLABEL, {"source": "http"}, AutolabelParameters(None)),
    (
        JobKind.AUTOLABEL,
        {"source": "http", "engine": "e", "modelLabel": "m", "documents": ["a", "b"], "categories": []},
        AutolabelParameters("m", engine="e", documents=("a", "b"), categories=()),
    ),
    (JobKind.AUTOLABEL, {"source": "upload", **PLANNED}, AutolabelParameters(None, JobSource.UPLOAD, **PLAN)),
    (
        JobKind.AUTOLABEL,
        {"source": "waiting", **PLANNED, "reserved": 12, "month": "2026-01"},
        AutolabelParameters(None, JobSource.WAITING, **PLAN, reserved=12, month="2026-01"),
    ),
    (JobKind.REGISTER, {"source": "upload"}, RegisterParameters()),
    (JobKind.SCAN, {}, ScanParameters()),
    (JobKind.SCAN, {"rounds": 3}, ScanParameters(3)),
    (JobKind.REVIEW, BULK, BulkParameters("ann", True, 80, None, None, None, "a/")),
    (JobKind.UNDO, {"by": "ann", "undoes": "j", "documents": 3}, UndoParameters("ann", "j", 3)),
    (JobKind.UNDO, {"by": "ann", "undoes": "j"}, UndoParameters("ann", "j")),
    (JobKind.IMPORT, {"by": "ann"}, ImportParameters("ann")),
    (
        JobKind.IMPORT,
        {"by": "ann", "places": ["i1", "i2"], "landed": "i2"},
        ImportParameters("ann", ("i1", "i2"), "i2"),
    ),
    (
        JobKind.IMPORT,
        {"by": "ann", "places": [], "source": {"container": "docs", "blob": "p.json", "etag": '"1"'}},
        ImportParameters("ann", source=ImportSource("docs", "p.json", '"1"')),
    ),
    (JobKind.TRAIN, TRAIN, TrainParameters("m1", "embedded", SplitKind.PERCENTAGE, 20, None)),
    (
        JobKind.TRAIN,
        {**TRAIN, "origin": "azureMachineLearning"},
        TrainParameters("m1", "embedded", SplitKind.PERCENTAGE, 20, Studio.AZURE_ML),
    ),
    (
        JobKind.EVALUATE,
        {"modelLabel": "m1", "split": "manual", "testing": 20},
        EvaluateParameters("m1", SplitKind.MANUAL, 20),
    ),
    (JobKind.CONNECTION, {"actor": "ann"}, ConnectionParameters("ann")),
    (JobKind.EXPORT, {}, NoParameters()),
    (JobKind.DELETION, {}, NoParameters()),
]

#: Kind, the result as earlier versions wrote it, and a part of what it is read as.
RESULTS = [
    (
        JobKind.AUTOLABEL,
        {
            "engine": "embedded", "modelLabel": None, "documentsTotal": 1, "documentsDone": 1,
            "percentComplete": 100, "outcomes": OUTCOMES, "textRecords": 1,
        },
        None,
    ),
    (
        JobKind.SCAN,
        {"blobs": 4, "new": 3, "changed": 1, "gone": 0, "looks": 4, "listedDateTime": "2026-01-01T00:00:00.000Z"},
        ScanResult(4, 3, 1, 0, 4, AT),
    ),
    (
        JobKind.REVIEW,
        {"matched": 5, "changed": 4, "conflicts": 1, "documents": 3, "percentComplete": 100},
        BulkResult(5, 4, 1, 3, 100),
    ),
    (JobKind.UNDO, {"undone": 3, "percentComplete": 100}, UndoResult(3, 100)),
    (JobKind.IMPORT, {"documents": 3, "categories": 2}, ImportResult(3, 2)),
    (
        JobKind.TRAIN,
        {"modelLabel": "m1", "trainingConfigVersion": "2022-05-01", **STATES, "suggestionsDropped": 0},
        TrainResult(
            "m1", "2022-05-01",
            TrainingState(100, JobStatus.SUCCEEDED, AT, AT.replace(second=1)), TrainingState(), 0,
        ),
    ),
    (
        JobKind.EVALUATE,
        {
            "modelLabel": "m1", "trainingConfigVersion": "2022-05-01", "percentComplete": 100,
            "evaluationOptions": {
                "kind": "percentage", "trainingSplitPercentage": 80, "testingSplitPercentage": 20
            },
        },
        None,
    ),
    (JobKind.EVALUATE, {
        "modelLabel": "m1", "trainingConfigVersion": "2022-05-01", "percentComplete": 0,
        "evaluationOptions": {"kind": "manual"},
    }, None),
    (
        JobKind.CONNECTION,
        {"state": "connected", "activeStudio": "languageStudio"},
        ConnectionResult("connected", Studio.LANGUAGE_STUDIO),
    ),
    (
        JobKind.CONNECTION,
        {
            "state": "connected", "activeStudio": "azureMachineLearning", "documentsImported": 2,
            "linesRejected": 0,
        },
        ConnectionResult("connected", Studio.AZURE_ML, 2, 0),
    ),
    (JobKind.EXPORT, {}, None),
]  # fmt: skip


async def read(kind: JobKind, parameters: Mapping[str, Any], result: Mapping[str, Any]) -> Job:
    """The job of a row with this JSON."""
    table = MemoryStorage().table("jobs")
    data = {"parameters": parameters, "batches": [[0, 4, 9]], "result": result, "errors": [], "warnings": []}
    values = {
        "v": 1, "project": "p", "incarnation": "i", "edition": "e", "generation": 2, "status": "running",
        "created": AT, "updated": AT, **rows.packed_values(data),
    }  # fmt: skip
    partition = rows.INDEX if kind in {JobKind.IMPORT, JobKind.DELETION} else "i"
    await table.commit(partition, [Insert(rows.job_key(kind, "j"), values)])
    return await JobStore(table).get("i", kind, "j")


async def written(job: Job) -> Any:
    """The JSON in the row of a job."""
    table = MemoryStorage().table("jobs")
    await JobStore(table).create(job)
    partition = rows.INDEX if job.kind in {JobKind.IMPORT, JobKind.DELETION} else "i"
    row = await table.get(partition, rows.job_key(job.kind, "j"))
    assert row is not None
    return rows.unpacked_values(row.values)


@pytest.mark.parametrize(("kind", "stored", "expected"), PARAMETERS)
async def test_parameters(kind: JobKind, stored: dict[str, Any], expected: object):
    job = await read(kind, stored, {})
    assert (job.parameters, job.result) == (expected, None)
    assert (job.kind, job.batches, job.generation) == (kind, (Batch(0, 4, 9),), 2)
    again = (await written(job))["parameters"]
    assert stored.items() <= again.items()
    assert not any(again[key] for key in again.keys() - stored.keys()), "only nulls and zeros may be added"


@pytest.mark.parametrize(("kind", "stored", "expected"), RESULTS)
async def test_results(kind: JobKind, stored: dict[str, Any], expected: object):
    examples = {k: parameters for k, parameters, _ in PARAMETERS}
    job = await read(kind, examples[kind], stored)
    assert expected is None or job.result == expected
    assert (await written(job))["result"] == stored
