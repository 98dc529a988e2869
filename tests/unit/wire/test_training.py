"""Training on the wire: requests are judged, and Azure's own client reads the answers whole."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from azure.ai.textanalytics.authoring import models
from azure.ai.textanalytics.authoring._utils.model_base import _deserialize
from pydantic import ValidationError

from shared.domain.names import LANGUAGES, Studio
from shared.domain.training import SplitKind, SplitOptions
from shared.wire.training import (
    NEVER,
    EvaluationOptionsModel,
    GlobalQuery,
    TrainBody,
    TrainedModelList,
    TrainedModelModel,
    languages,
    training_config_versions,
)

AT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
BODY = {"modelLabel": "m1", "trainingConfigVersion": "latest"}


def read(**fields: Any) -> TrainBody:
    return TrainBody.model_validate(BODY | fields)


def error_of(**fields: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"]


def options(**fields: Any) -> SplitOptions:
    return read(evaluationOptions=fields).split()


def test_the_plain_request() -> None:
    body = read()
    assert (body.model_label, body.label_origin) == ("m1", None)
    assert body.split() == SplitOptions(SplitKind.PERCENTAGE, 20)


def test_the_request_of_the_official_client() -> None:
    details = models.TrainingJobDetails(
        model_label="m.1",
        training_config_version="2022-05-01",
        evaluation_options=models.EvaluationDetails(
            kind=models.EvaluationKind.PERCENTAGE, training_split_percentage=70, testing_split_percentage=30
        ),
    )
    assert TrainBody.model_validate(details.as_dict()).split() == SplitOptions(testing=30)


@pytest.mark.parametrize(
    ("fields", "split"),
    [
        ({}, SplitOptions(testing=20)),
        ({"kind": None}, SplitOptions(testing=20)),
        ({"kind": "Percentage", "trainingSplitPercentage": 90}, SplitOptions(testing=10)),
        ({"testingSplitPercentage": 99, "trainingSplitPercentage": 1}, SplitOptions(testing=99)),
        ({"testingSplitPercentage": 40}, SplitOptions(testing=40)),
        ({"kind": "MANUAL"}, SplitOptions(SplitKind.MANUAL)),
        (
            {"kind": "manual", "trainingSplitPercentage": 80, "testingSplitPercentage": 30},
            SplitOptions(SplitKind.MANUAL),
        ),
    ],
)
def test_evaluation_options(fields: dict[str, Any], split: SplitOptions) -> None:
    assert options(**fields) == split


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"kind": "both"}, "kind", "percentage"),
        ({"trainingSplitPercentage": 80, "testingSplitPercentage": 30}, "", "add up to 100"),
        ({"trainingSplitPercentage": 100}, "trainingSplitPercentage", "less than or equal to 99"),
        ({"testingSplitPercentage": 0}, "testingSplitPercentage", "greater than or equal to 1"),
        ({"testingSplitPercentage": "20"}, "testingSplitPercentage", "integer"),
        ({"testingSplitPercentage": True}, "testingSplitPercentage", "integer"),
    ],
)
def test_evaluation_options_with_errors(fields: dict[str, Any], place: str, words: str) -> None:
    where, message = error_of(evaluationOptions=fields)
    assert where == f"evaluationOptions.{place}".rstrip(".")
    assert words in message


@pytest.mark.parametrize("label", ["", "a b", "x" * 51, "ä", ".."])
def test_model_labels_with_errors(label: str) -> None:
    where, message = error_of(modelLabel=label)
    assert where == "modelLabel"
    assert "1 to 50 characters" in message


def test_only_the_known_version() -> None:
    assert read(trainingConfigVersion="2022-05-01").training_config_version == "2022-05-01"
    assert error_of(trainingConfigVersion="2021-01-01")[0] == "trainingConfigVersion"
    assert TrainBody.model_validate({"modelLabel": "m1"}).training_config_version == "latest"


def test_the_origin_of_the_labels() -> None:
    assert read(labelOrigin="azureMachineLearning").label_origin is Studio.AZURE_ML
    assert read(labelOrigin="languageStudio").label_origin is Studio.LANGUAGE_STUDIO
    assert error_of(labelOrigin="elsewhere")[0] == "labelOrigin"


def test_data_generation_is_refused_unless_it_is_off() -> None:
    connection = {"kind": "AzureOpenAI", "resourceId": "r", "deploymentName": "d"}
    for settings in ({"enableDataGeneration": True, "dataGenerationConnectionInfo": connection}, {}):
        where, message = error_of(dataGenerationSettings=settings)
        assert where == "dataGenerationSettings"
        assert "not supported" in message
    assert read(dataGenerationSettings={"enableDataGeneration": False}).split() == SplitOptions()
    assert read(dataGenerationSettings=None).split() == SplitOptions()


def test_options_come_back_as_they_went() -> None:
    for split in (SplitOptions(testing=35), SplitOptions(SplitKind.MANUAL)):
        assert EvaluationOptionsModel.of(split).split() == split


def test_the_official_client_reads_a_model() -> None:
    model = TrainedModelModel(
        label="m1", model_id="id", engine="e", last_trained_date_time=AT, last_training_duration_in_seconds=7
    )
    wire = TrainedModelList(value=[model]).to_wire()
    (found,) = _deserialize(list[models.ProjectTrainedModel], wire["value"])
    assert (found.label, found.model_id, found.last_trained_on) == ("m1", "id", AT)
    assert (found.last_training_duration_in_seconds, found.has_snapshot) == (7, False)
    assert (found.model_expired_on, found.model_training_config_version) == (date(9999, 12, 31), "2022-05-01")
    assert set(found) == {field._rest_name for field in found._attr_to_rest_field.values()} | {"engine"}


def test_the_official_client_reads_the_global_lists() -> None:
    found = _deserialize(list[models.SupportedLanguage], languages().to_wire()["value"])
    assert {language.language_code for language in found} == set(LANGUAGES)
    assert all(language.language_name for language in found)
    assert len({language.language_name for language in found}) == len(found)
    (version,) = _deserialize(
        list[models.TrainingConfigVersion], training_config_versions().to_wire()["value"]
    )
    assert (version.training_config_version, version.model_expired_on) == ("2022-05-01", NEVER)


def test_the_kind_of_the_global_lists_has_any_case() -> None:
    query = GlobalQuery.model_validate({"projectKind": "customEntityRecognition"})
    assert not query.is_of_other_kind
    assert GlobalQuery.model_validate({}).project_kind is None
