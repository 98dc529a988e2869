"""Every valid request gets a documented response: no 500, the right type and schema."""

import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import function_app
from functions.http import OPERATIONS
from functions.system import VERSION as APP_VERSION
from shared.domain.document import document_id
from shared.runtime.openapi import describe
from tests.support.api import PROJECTS, SINGLE, VERSION, unique
from tests.support.hosts import KEY, QUIET, Host

assert function_app.app is not None  # it registers the operations
DESCRIBED = json.loads(json.dumps(describe(OPERATIONS, APP_VERSION)))
SCHEMA = schemathesis.openapi.from_dict(DESCRIBED)


def _operation(found: Any) -> Any:
    """What schemathesis read, or the error that it met."""
    return found.ok()


BY_ID: dict[str, Any] = {
    _operation(found).definition.raw["operationId"]: _operation(found)
    for found in SCHEMA.get_all_operations()
}
HEADERS = {"Ocp-Apim-Subscription-Key": KEY}


def no_defect(ctx: object, response: Any, case: object) -> None:
    """No 5xx, except 501 for unsupported operations of Azure."""
    assert response.status_code < 500 or response.status_code == 501, response.text


CHECKS = [
    no_defect,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
BOUNDED = settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType] - iterating an enum
    derandomize=True,
    database=None,
)


@pytest.fixture(scope="module")
def project(host: Host) -> str:
    """A project that exists, so that not every answer is 404."""
    name = unique("fuzz")
    body = {"projectKind": SINGLE, "storageInputContainerName": f"{QUIET}-fuzz", "language": "en"}
    answer = httpx.patch(
        f"{host.url}{PROJECTS}/{name}",
        json=body,
        headers=HEADERS,
        params={"api-version": VERSION},
        timeout=60,
    )
    assert answer.status_code == 201
    return name


def test_the_served_description_is_the_pinned_one(host: Host) -> None:
    served = httpx.get(f"{host.url}/language/openapi.json", headers=HEADERS, timeout=60)
    assert served.json() == DESCRIBED


@pytest.mark.parametrize("name", BY_ID)
def test_every_operation_answers_as_described(host: Host, project: str, name: str) -> None:
    @given(case=BY_ID[name].as_strategy())
    @BOUNDED
    def ask(case: schemathesis.Case) -> None:
        if "projectName" in case.path_parameters and name != "delete_project":
            case.path_parameters["projectName"] = project
        if "documentId" in case.path_parameters and len(str(case.path_parameters["documentId"])) % 2:
            case.path_parameters["documentId"] = document_id("a.txt")
        case.call_and_validate(base_url=host.url, headers=HEADERS, checks=CHECKS, timeout=60)

    ask()
