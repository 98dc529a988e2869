"""What pydantic finds wrong is reported in our words, with the name of the field."""

import pytest
from pydantic import BaseModel, ValidationError

from shared.wire.autolabel import AutolabelBody
from shared.wire.json_codec import invalid
from shared.wire.team import ProgressQuery, SecondReviewBody


@pytest.mark.parametrize(
    ("model", "field", "value", "rule"),
    [
        (AutolabelBody, "costLimit", 0, "must be greater than 0"),
        (AutolabelBody, "costLimit", float("inf"), "must be a number"),
        (SecondReviewBody, "percent", 0, "must be greater than 0"),
        (SecondReviewBody, "percent", 101, "must be 100 or less"),
        (ProgressQuery, "fromDate", "yesterday", "must be a date, as in 2030-12-31"),
        (ProgressQuery, "fromDate", "2030-13-01", "must be a date, as in 2030-12-31"),
        (ProgressQuery, "toDate", "2030-01-01T10:00:00Z", "must be a date, as in 2030-12-31"),
        (ProgressQuery, "toDate", [], "must be a date, as in 2030-12-31"),
    ],
)
def test_an_error_names_the_field_and_the_rule(
    model: type[BaseModel], field: str, value: object, rule: str
) -> None:
    required = {"reviewer": "ann"} if model is SecondReviewBody else {}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(required | {field: value})
    assert invalid(caught.value).message == f"'{field}' {rule}."
