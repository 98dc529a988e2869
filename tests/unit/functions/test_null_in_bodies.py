"""null in a request body: as an absent field, and in a merge patch the removal of it (RFC 7396)."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import function_app
from functions.call import require
from functions.http import OPERATIONS
from functions.projects import patch_of
from shared.domain.errors import InvalidArgument
from shared.wire.documents import DocumentPatchBody
from shared.wire.projects import ProjectBody
from shared.wire.training import EvaluationOptionsModel, TrainBody

assert function_app.app
MERGE_PATCHES = {ProjectBody, DocumentPatchBody}
#: Bodies of any form: the label field of the project's kind, where null removes the labels.
FREE = {"LabelsBody"}
BODIES = sorted(
    {o.body for o in OPERATIONS if o.body is not None and o.body.__name__ not in FREE} - MERGE_PATCHES,
    key=lambda body: body.__name__,
)


def _found(model: type[BaseModel], data: dict[str, Any]) -> object:
    """What the body says, or the fields with errors."""
    try:
        return model.model_validate(data, by_name=False)
    except ValidationError as error:
        return sorted((detail["type"], detail["loc"]) for detail in error.errors())


@pytest.mark.parametrize("body", BODIES)
def test_null_says_the_same_as_leaving_the_field_out(body: type[BaseModel]) -> None:
    absent = _found(body, {})
    for field in body.model_fields.values():
        assert _found(body, {field.alias or "": None}) == absent, field.alias


def test_null_in_what_is_trained() -> None:
    nothing = {"evaluationOptions": None, "labelOrigin": None, "dataGenerationSettings": None}
    body = TrainBody.model_validate({"modelLabel": "m1", "trainingConfigVersion": None} | nothing)
    assert body == TrainBody(model_label="m1")
    options = {"kind": None, "testingSplitPercentage": None}
    assert EvaluationOptionsModel.model_validate(options) == EvaluationOptionsModel()


@pytest.mark.parametrize("field", ["projectKind", "storageInputContainerName", "language"])
def test_what_every_project_has_cannot_be_removed(field: str) -> None:
    with pytest.raises(InvalidArgument, match=f"'{field}' is required") as caught:
        patch_of(ProjectBody.model_validate({field: None}))
    assert caught.value.target == field


def test_all_that_cannot_be_removed_is_named() -> None:
    body = DocumentPatchBody.model_validate({"language": None, "contentChanged": None})
    with pytest.raises(InvalidArgument) as caught:
        require({"language", "content_changed"}, body, ("language", "content_changed"))
    assert [detail.target for detail in caught.value.details] == ["language", "contentChanged"]
