"""Spellings and fields of Azure's own clients, files and documentation that are taken as Azure takes them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from functions.call import cancel_state
from functions.transfers import ExportQuery
from shared.domain.jobs import Job, JobKind, JobStatus, TrainingState, TrainResult
from shared.domain.names import language_error
from shared.wire.api import API_VERSIONS
from shared.wire.project_file import read_project_file
from shared.wire.projects import ProjectBody, ProjectListQuery
from shared.wire.training import EvaluationResultQuery, GlobalQuery, TrainBody
from tests.unit.wire.project_files import SINGLE, encode, file_of

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", [None, "absent"])
def test_a_project_file_needs_no_project_name(name: str | None) -> None:
    file = file_of(SINGLE, [])
    file["metadata"]["projectName"] = name
    if name is not None:
        del file["metadata"]["projectName"]
    assert read_project_file(encode(file)).details.container


@pytest.mark.parametrize("spelled", ["Utf16CodeUnit", "UTF16CodeUnit", "utf16codeunit"])
def test_the_index_type_in_any_case(spelled: str) -> None:
    for query in (ExportQuery, EvaluationResultQuery):
        assert query.model_validate({"stringIndexType": spelled}).string_index_type == "Utf16CodeUnit"
    with pytest.raises(ValidationError):
        ExportQuery.model_validate({"stringIndexType": "UnicodeCodePoint"})


@pytest.mark.parametrize(("value", "meant"), [("True", True), ("false", False), (True, True)])
def test_multilingual_as_microsofts_documentation_writes_it(value: Any, meant: bool) -> None:
    body = json.dumps({"multilingual": value})
    assert ProjectBody.model_validate_json(body, strict=True).multilingual is meant
    with pytest.raises(ValidationError):
        ProjectBody.model_validate_json('{"multilingual": "yes"}', strict=True)


def test_traditional_chinese_is_a_language() -> None:
    assert language_error("zh-hant") is None


def test_a_page_size_above_100_means_100() -> None:
    assert ProjectListQuery.model_validate({"maxpagesize": "200"}).maxpagesize == 100
    assert ProjectListQuery.model_validate({"maxpagesize": "7"}).maxpagesize == 7
    with pytest.raises(ValidationError):
        ProjectListQuery.model_validate({"maxpagesize": "0"})


def test_train_without_a_version_means_the_latest() -> None:
    assert TrainBody.model_validate({"modelLabel": "m1"}).training_config_version == "latest"


def test_other_kinds_of_azure_have_empty_lists() -> None:
    assert GlobalQuery.model_validate({"projectKind": "CustomHealthcare"}).is_of_other_kind
    assert not GlobalQuery.model_validate({"projectKind": "customentityrecognition"}).is_of_other_kind
    with pytest.raises(ValidationError):
        GlobalQuery.model_validate({"projectKind": "nonsense"})


def test_the_versions_of_2022_are_known() -> None:
    assert {"2022-05-01", "2022-05-15-preview", "2022-07-01-preview", "2022-10-01-preview"} <= {*API_VERSIONS}


def test_the_cancellation_of_a_training_has_the_result_of_the_training() -> None:
    result = TrainResult("m1", "2022-05-01", TrainingState(status=JobStatus.CANCELLED))
    job = Job("job-1", JobKind.TRAIN, "news", "i", "e", AT, AT)
    state = cancel_state(replace(job, status=JobStatus.CANCELLED, result=result))
    assert (state.data["jobId"], state.data["status"]) == ("job-1", "succeeded")
    assert state.data["result"]["modelLabel"] == "m1"
    assert state.data["result"]["trainingStatus"]["status"] == "cancelled"
