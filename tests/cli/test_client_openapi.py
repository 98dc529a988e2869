"""The client against the OpenAPI document: what it calls exists as it calls it, and its models are the schemas."""

import ast
import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints

import httpx
import jsonschema_rs
import pytest

import function_app
from functions.http import OPERATIONS
from functions.system import VERSION
from labelbridge.client import AsyncClient, Client, models
from scripts.unasync import FILES, synchronous
from shared.runtime.openapi import describe

assert function_app.app is not None  # it registers the operations
DESCRIBED: dict[str, Any] = json.loads(json.dumps(describe(OPERATIONS, VERSION)))
SCHEMAS: dict[str, Any] = DESCRIBED["components"]["schemas"]
#: Models whose schema has another name than theirs, with or without "Model".
NAMES = {
    "JobState": "JobModel",
    "ExportJobState": "ExportJobModel",
    "DocumentOutcome": "OutcomeModel",
    "Entity": "EntityModel",
    "ClassLabel": "ClassModel",
    "Category": "CategoryModel",
    "SearchAnswer": "SearchModel",
    "Guidelines": "GuidelinesModel",
}
DOCUMENT = {"id": "abc", "eTag": '"1.2"'}
BULK = {"decision": "accept", "minConfidence": 0.9, "dryRun": True}
CONNECT = {"studio": "workspace", "workspaceId": "c", "amlProjectName": "n"}
FILE = {
    "projectFileVersion": "2022-05-01", "stringIndexType": "Utf16CodeUnit",
    "metadata": {"projectKind": "CustomEntityRecognition", "storageInputContainerName": "docs", "language": "en"},
}  # fmt: skip
LABELS_FILE = {"metadata": {}, "labelsFile": {"containerName": "labels", "blobName": "a.jsonl"}}
#: Arguments for each method of the clients; the others take none.
CLIENT = {
    "resend_dead_letters": [["a-1"]],
    "call": None,
    "pages": None,
    "project": None,
    "job": None,
    "close": None,
}
PROJECT: dict[str, Any] = {
    "job": None,
    "put": [{"projectKind": "CustomEntityRecognition", "language": "en"}],
    "deletion": ["j"],
    "put_categories": [[{"category": "A", "previousCategory": "B"}]],
    "remove_categories": [["A"]],
    "guideline_version": [1],
    "put_guidelines": ["# How to label"],
    "document": ["abc"],
    "search": [{"text": "refund", "status": "autoLabeled", "top": 5}],
    "text": ["abc"],
    "history": ["abc"],
    "set_labels": [DOCUMENT, {"class": {"category": "A"}}],
    "patch": [DOCUMENT, {"dataset": "Test"}],
    "undo": ["abc"],
    "review": [[{"documentId": "abc", "eTag": '"1.2"', "acceptAll": True}]],
    "review_all": [BULK],
    "undo_review": ["j"],
    "outcomes": ["j"],
    "cancel_autolabel": ["j"],
    "retry_autolabel": ["j"],
    "train": [{"modelLabel": "m", "trainingConfigVersion": "latest"}],
    "cancel_train": ["j"],
    "model": ["m"],
    "delete_model": ["m"],
    "evaluation_summary": ["m"],
    "evaluation_result": ["m"],
    "evaluate": ["m", {"kind": "percentage", "trainingSplitPercentage": 80, "testingSplitPercentage": 20}],
    "push": [{"deploymentName": "live"}],
    "cancel_push": ["j"],
    "assign": [{"assignee": "Ana", "count": 5, "filter": {"assignedTo": "@none", "status": "autoLabeled"}}],
    "second_review": [{"reviewer": "Ben", "size": 5, "seed": 1}],
    "blind_documents": ["r"],
    "blind_document": ["r", "abc"],
    "set_blind_labels": ["r", "abc", {"class": {"category": "A"}}],
    "agreement": ["r"],
    "disagreements": ["r"],
    "resolve": ["r", DOCUMENT, {"choice": "second"}],
    "reopen": ["r", "abc"],
    "export_state": ["j"],
    "export_result": ["j"],
    "import_file": [FILE],
    "import_labels": [LABELS_FILE],
    "check_connection": [CONNECT],
    "connect": [CONNECT],
    "switch": ["azureMachineLearning"],
    "disconnect": ["n"],
    "cancellation": ["autolabel", "j"],
}
FILTERS = {
    "documents": {
        "status": "labeled", "dataset": "Test", "category": "A", "job_id": "j", "location_prefix": "a/",
        "flagged": True, "assigned_to": "@me", "min_confidence": 0.5, "max_confidence": 0.9,
        "evaluated_model": "m1", "expected_category": "A", "predicted_category": "B", "orderby": "uncertainty",
    },
    "count_documents": {"max_confidence": 0.9},
    "outcomes": {"outcome": "failed"},
}  # fmt: skip
#: Operations reached by another way: jobs by their `operation-location`, cancellations by `cancellation`.
BY_JOB = {
    "get_autolabel_job", "get_review_job", "get_undo_job", "get_connection_job", "get_scan_job", "get_train_job",
    "get_evaluate_job", "get_fit", "get_import_job", "get_train_cancellation", "get_push_job", "get_push_cancellation",
}  # fmt: skip
#: The review page, for browsers.
FOR_BROWSERS = {"studio_files", "home"}


class Recorder:
    """Answers every request with an empty list, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(
            200 if request.method != "DELETE" else 202,
            json={
                "value": [],
                "results": [],
                "count": 0,
                "resent": 0,
                "name": "n",
                "roles": [],
                "assets": {"documents": []},
            },
            headers={"operation-location": "http://x/jobs/j"},
        )


def methods(kind: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]


def called() -> dict[str, httpx.Request]:
    """The request of every method: `project.train` to what it sends."""
    found: dict[str, httpx.Request] = {}
    recorder = Recorder()
    with Client("http://x", key="k", transport=httpx.MockTransport(recorder)) as client:
        project = client.project("p")
        for owner, arguments in ((client, CLIENT), (project, PROJECT)):
            for name in methods(type(owner)):
                given = arguments.get(name, [])
                if given is None:
                    continue
                answer = getattr(owner, name)(*given, **FILTERS.get(name, {}))
                if inspect.isgenerator(answer):
                    list(answer)
                [request] = recorder.requests
                recorder.requests.clear()
                found[f"{type(owner).__name__}.{name}"] = request
    return found


CALLED = called()


def operation(request: httpx.Request) -> tuple[dict[str, Any], str]:
    """The described operation that a request calls."""
    for path, by_method in DESCRIBED["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/:]+", path)
        if re.fullmatch(pattern, request.url.path) and request.method.lower() in by_method:
            return by_method[request.method.lower()], path
    raise AssertionError(f"{request.method} {request.url.path} is not described")


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_exists_with_these_parameters(name):
    request = CALLED[name]
    described, _ = operation(request)
    parameters = {(p["in"], p["name"]): p for p in described["parameters"] if p["in"] != "path"}
    sent = {("query", key) for key in request.url.params}
    own = {"if-match": "If-Match", "idempotency-key": "Idempotency-Key"}
    sent |= {("header", own[key]) for key in request.headers if key in own}
    assert sent <= parameters.keys()
    assert {key for key, p in parameters.items() if p["required"]} <= sent
    for (where, key), parameter in parameters.items():
        if where == "query" and key in request.url.params and "enum" in parameter["schema"]:
            assert request.url.params[key] in parameter["schema"]["enum"]
    if request.method == "POST":
        assert ("header", "Idempotency-Key") in sent


@pytest.mark.parametrize("name", CALLED)
def test_what_is_sent_fits_the_schema(name):
    request = CALLED[name]
    body = operation(request)[0].get("requestBody")
    if body is None:
        assert not request.content
        return
    schema = body["content"]["application/json"]["schema"] | {"components": DESCRIBED["components"]}
    jsonschema_rs.validator_for(schema).validate(json.loads(request.content))


def test_the_filters_of_documents_are_all_there():
    described, _ = operation(CALLED["ProjectClient.documents"])
    offered = {p["name"] for p in described["parameters"] if p["in"] == "query"}
    given = {
        *CALLED["ProjectClient.documents"].url.params,
        *CALLED["ProjectClient.count_documents"].url.params,
    }
    assert offered - {"continuationToken"} == given


def test_every_operation_can_be_called():
    ids = {
        entry["operationId"] for by_method in DESCRIBED["paths"].values() for entry in by_method.values()
    } - FOR_BROWSERS
    calls = {operation(request)[0]["operationId"] for request in CALLED.values()}
    assert ids - calls == BY_JOB


def schema_of(model: Any) -> dict[str, Any]:
    for name in (NAMES.get(model, model), f"{model}Model", model):
        if name in SCHEMAS:
            return SCHEMAS[name]
    raise AssertionError(f"no schema for {model}")


MODELS: dict[str, Any] = {
    name: kind
    for name, kind in vars(models).items()
    if isinstance(kind, type) and issubclass(kind, dict) and name != "Labels"
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_fields_of_its_schema(name):
    model, schema = (
        MODELS[name],
        schema_of({"Error": "ErrorModel", "Document": "DocumentModel"}.get(name, name)),
    )
    hints = get_type_hints(model, include_extras=True)
    assert set(hints) == set(schema["properties"])
    assert model.__required_keys__ == set(schema.get("required", []))
    for field, hint in hints.items():
        assert shape(hint) == described(schema["properties"][field]), field


def shape(hint: Any) -> str:
    """A type as text: `null|[Entity]`, `{Test,Train}`."""
    if get_origin(hint) is NotRequired:
        return shape(get_args(hint)[0])
    if isinstance(hint, str):
        return shape(eval(hint, dict(vars(models))))
    if hasattr(hint, "__value__"):
        return shape(hint.__value__)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType or str(origin) == "typing.Union":
        return "|".join(sorted({shape(part) for part in inner}))
    if origin is Literal:
        return "{" + ",".join(sorted(str(value) for value in inner)) + "}"
    if origin is list:
        return f"[{shape(inner[0])}]"
    if origin is dict:
        return "object" if inner[1] is Any else f"map<{shape(inner[1])}>"
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: "any"}
    return simple.get(hint) or fields(get_type_hints(hint))


def described(schema: dict[str, Any]) -> str:
    """A schema as the same text."""
    if "$ref" in schema:
        return described(SCHEMAS[schema["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in schema:
        return "|".join(sorted({described(option) for option in schema["anyOf"]}))
    if "allOf" in schema:
        return described(schema["allOf"][0])
    if "enum" in schema or "const" in schema:
        return "{" + ",".join(sorted(str(value) for value in schema.get("enum", [schema.get("const")]))) + "}"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"[{described(schema['items'])}]"
    if kind != "object":
        return kind
    if "properties" in schema:
        return fields(schema["properties"])
    values = schema.get("additionalProperties")
    return f"map<{described(values)}>" if isinstance(values, dict) else "object"


def fields(named: Any) -> str:
    """An object by its fields; what these are is compared where their own model is."""
    return "<" + ",".join(sorted(named)) + ">"


@pytest.mark.parametrize("source", FILES, ids=lambda path: path.name)
def test_the_synchronous_client_is_made_from_the_asynchronous_one(source: Path):
    made = FILES[source].read_text("utf-8")
    assert made == synchronous(source), "run: python -m scripts.unasync"
    words = {node.id for node in ast.walk(ast.parse(made)) if isinstance(node, ast.Name)}
    assert not {word for word in words if "async" in word.lower()}


def test_both_clients_have_the_same_methods():
    assert set(methods(AsyncClient)) - {"aclose"} == set(methods(Client)) - {"close"}


def test_the_version_is_that_of_the_app():
    from labelbridge import __version__

    assert __version__ == VERSION
