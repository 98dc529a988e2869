"""The description of the API is pinned: a change of the API shows in the diff of `openapi.json`.

UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/unit/openapi writes it anew.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import function_app
from functions.http import OPERATIONS
from functions.system import VERSION
from shared.runtime import openapi
from shared.runtime.auth import Access
from shared.runtime.openapi import describe

SNAPSHOT = Path(__file__).parent / "openapi.json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    assert function_app.app is not None  # it registers the operations
    return json.loads(json.dumps(describe(OPERATIONS, VERSION)))


def test_the_description_is_the_pinned_one(described: dict[str, Any]) -> None:
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        SNAPSHOT.write_text(json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert described == json.loads(SNAPSHOT.read_text()), (
        "run this file with UPDATE_SNAPSHOTS=1 and look at the diff"
    )


def test_every_operation_is_described_with_its_errors_and_what_it_needs(described: dict[str, Any]) -> None:
    operations = [entry for path in described["paths"].values() for entry in path.values()]
    assert {entry["operationId"] for entry in operations} == {
        operation.id for operation in OPERATIONS if "{*" not in operation.path and operation.path != "/"
    }
    roles = {operation.id: operation.role for operation in OPERATIONS}
    for entry in operations:
        assert entry["summary"].endswith("."), entry["operationId"]
        assert "default" in entry["responses"], entry["operationId"]
        anonymous = roles[entry["operationId"]] is Access.ANONYMOUS
        assert (entry.get("security") == []) == anonymous, entry["operationId"]


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = json.dumps(described)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    names = {reference.removeprefix("#/components/schemas/") for reference in references}
    assert names <= set(described["components"]["schemas"])


def operation(described: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [
        entry
        for path in described["paths"].values()
        for entry in path.values()
        if entry["operationId"] == name
    ]
    return found


@pytest.mark.parametrize("name", ["export_project", "get_evaluation_result"])
def test_a_parameter_that_is_required_is_said_to_be(described: dict[str, Any], name: str) -> None:
    needed = {
        parameter["name"] for parameter in operation(described, name)["parameters"] if parameter["required"]
    }
    assert {"stringIndexType", "api-version"} <= needed


def test_every_list_of_azure_is_paged_by_the_same_parameters(described: dict[str, Any]) -> None:
    for name in (
        "list_projects",
        "list_models",
        "list_train_jobs",
        "list_languages",
        "list_training_config_versions",
        "get_evaluation_result",
    ):
        names = {parameter["name"] for parameter in operation(described, name)["parameters"]}
        assert {"top", "skip", "maxpagesize"} <= names, name


def test_the_body_of_an_import_is_described(described: dict[str, Any]) -> None:
    body = operation(described, "import_project")["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"]["schema"]["$ref"].startswith(
        "#/components/schemas/ProjectFileModel"
    )


def test_every_json_that_is_answered_has_a_schema(described: dict[str, Any]) -> None:
    """But for the description itself."""
    for path in described["paths"].values():
        for entry in path.values():
            for status, answer in entry["responses"].items():
                for schema in answer.get("content", {}).values():
                    name = entry["operationId"]
                    assert schema["schema"] or name == "openapi", (name, status)


def test_it_is_valid_openapi(described: dict[str, Any]) -> None:
    import jsonschema_rs
    import schemathesis

    schema = schemathesis.openapi.from_dict(described)
    assert len(list(schema.get_all_operations())) == sum(len(path) for path in described["paths"].values())
    for component in described["components"]["schemas"].values():
        jsonschema_rs.meta.validate({**component, "$schema": "https://json-schema.org/draft/2020-12/schema"})


def test_types_of_one_name_have_the_same_numbers_in_every_process() -> None:
    def schemas(few: int, many: int) -> dict[str, Any]:
        user = {"anyOf": [{"$ref": f"#/components/schemas/a__Names__{few}"}, {"type": "null"}]}
        return {f"a__Names__{few}": {"maxItems": 1}, f"a__Names__{many}": {"maxItems": 2}, "User": user}

    assert openapi._numbered(schemas(1, 2)) == openapi._numbered(schemas(2, 1)) == schemas(1, 2)
