"""HTTP: a new project from a label file of Azure Machine Learning."""

from typing import Annotated, Any

from pydantic import Field

from functions.http import Call, P, Routes
from functions.reply import Reply
from shared.services.import_labels import LabelsRequest
from shared.wire.aml_jsonl import OffsetUnit
from shared.wire.api import Strict

routes = Routes()


class LabelsFileModel(Strict):
    """Where the label file lies, in this storage account."""

    container_name: Annotated[str, Field(min_length=3, max_length=63)]
    blob_name: Annotated[str, Field(min_length=1, max_length=1_024)]


class ImportLabelsBody(Strict):
    """Body of `:import-labels`. `testPercentage` of the documents, chosen by name, become the test set."""

    metadata: dict[str, Any]
    labels_file: LabelsFileModel
    offset_unit: OffsetUnit = OffsetUnit.UTF16
    datastore_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    test_percentage: Annotated[int, Field(ge=0, le=100)] = 0


@routes.add("POST", f"{P}/:import-labels", {202: None}, headers=("operation-location",))
async def import_labels(call: Call, body: ImportLabelsBody) -> Reply:
    """Make a new project from a label file; its state is that of an import."""
    file = body.labels_file
    request = LabelsRequest(
        body.metadata,
        file.container_name,
        file.blob_name,
        body.offset_unit,
        body.datastore_name,
        body.test_percentage,
    )
    job = await call.container.import_labels.start(
        call.project_name, request, call.caller.name, call.job_id()
    )
    return call.accepted(f"import/jobs/{job.id}")
