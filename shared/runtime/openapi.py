"""OpenAPI 3.1, made from the operations and models that also parse and answer the requests."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.runtime.auth import Access, Permission, Role
from shared.wire.api import API_VERSIONS, ErrorAnswer
from shared.wire.documents import DocumentModel
from shared.wire.projects import GuidelinesModel

_NUMBERED = re.compile(r"(.+)__(\d+)")
REF = "#/components/schemas/{model}"

type Mode = Literal["validation", "serialization"]
type Refs = Mapping[tuple[Any, Mode], dict[str, Any]]
"""Where the schema of a model is: it may differ between reading and writing."""


class Described(Protocol):
    """What of an operation is described."""

    @property
    def id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def query(self) -> type[BaseModel] | None: ...
    @property
    def body(self) -> type[BaseModel] | None: ...
    @property
    def reads(self) -> type[BaseModel] | None: ...
    @property
    def answers(self) -> Mapping[int, type[BaseModel] | str | None]: ...
    @property
    def role(self) -> Permission: ...
    @property
    def versioned(self) -> bool: ...
    @property
    def takes_key(self) -> bool: ...


def describe(operations: Iterable[Described], version: str) -> dict[str, Any]:
    """The whole document, without catch-all routes, which only answer 404, and the redirect of `/`."""
    shown = [operation for operation in operations if "{*" not in operation.path and operation.path != "/"]
    refs, schemas = _schemas(shown)
    paths: dict[str, dict[str, Any]] = {}
    for operation in sorted(shown, key=lambda op: (op.path, op.method)):
        paths.setdefault(f"/{operation.path}", {})[operation.method.lower()] = _operation(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Labelbridge",
            "version": version,
            "description": "Labeling back end for custom text projects: the Azure AI Language authoring API, "
            "and autolabel jobs, review and the labeling-studio connection.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "Ocp-Apim-Subscription-Key"},
                "entra": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
        "security": [{"key": []}, {"entra": []}],
    }


def _schemas(operations: Iterable[Described]) -> tuple[Refs, dict[str, Any]]:
    models: dict[tuple[type[BaseModel], Mode], None] = {(ErrorAnswer, "serialization"): None}
    named: dict[str, Any] = {}
    for operation in operations:
        if operation.query is not None:
            named |= _query_schema(operation.query).get("$defs", {})
        if (body := _body(operation)) is not None:
            models[body, "validation"] = None
        for answer in operation.answers.values():
            if isinstance(answer, type):
                models[answer, "serialization"] = None
    refs, document = models_json_schema(list(models), ref_template=REF)
    return refs, _numbered(dict(sorted((named | document.get("$defs", {})).items())))


def _numbered(schemas: dict[str, Any]) -> dict[str, Any]:
    """Types of the same name, which pydantic numbers by their place in memory, numbered by what they are: the same in
    every process.
    """
    texts: dict[str, set[str]] = {}
    for name, schema in schemas.items():
        if match := _NUMBERED.fullmatch(name):
            texts.setdefault(match[1], set()).add(json.dumps(schema, sort_keys=True))
    numbers = {base: {text: n for n, text in enumerate(sorted(found), 1)} for base, found in texts.items()}
    names = {
        name: f"{match[1]}__{numbers[match[1]][json.dumps(schema, sort_keys=True)]}"
        for name, schema in schemas.items()
        if (match := _NUMBERED.fullmatch(name))
    }
    start = REF.format(model="")
    text = re.sub(
        f'"{re.escape(start)}([^"]+)"',
        lambda ref: f'"{start}{names.get(ref[1], ref[1])}"',
        json.dumps({names.get(name, name): schema for name, schema in schemas.items()}),
    )
    return dict(sorted(json.loads(text).items()))


def _body(operation: Described) -> type[BaseModel] | None:
    return operation.body or operation.reads


def _query_schema(query: type[BaseModel]) -> dict[str, Any]:
    return query.model_json_schema(ref_template=REF)


def _operation(operation: Described, refs: Refs) -> dict[str, Any]:
    data: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary}
    if isinstance(operation.role, Role):
        data["description"] = f"Requires the role {operation.role}."
    data["parameters"] = list(_parameters(operation))
    if (body := _body(operation)) is not None:
        content = {"schema": refs[body, "validation"]}
        types = ["application/json"] + (
            ["application/merge-patch+json"] if operation.method == "PATCH" else []
        )
        data["requestBody"] = {
            "content": dict.fromkeys(types, content),
            "required": _needs_body(body),
        }
    answers = {str(status): _answer(operation, status, refs) for status in operation.answers}
    error = {"schema": refs[ErrorAnswer, "serialization"]}
    answers["default"] = {"description": "An error.", "content": {"application/json": error}}
    data["responses"] = answers
    if operation.role is Access.ANONYMOUS:
        data["security"] = []
    return data


def _needs_body(model: type[BaseModel]) -> bool:
    required = any(field.is_required() for field in model.model_fields.values())
    return required or getattr(model, "needs_body", False)


def _parameters(operation: Described) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if operation.versioned:
        schema = {"type": "string", "enum": list(API_VERSIONS)}
        yield {"name": "api-version", "in": "query", "required": True, "schema": schema}
    if operation.query is not None:
        described = _query_schema(operation.query)
        needed = described.get("required", ())
        for name, schema in described["properties"].items():
            yield {"name": name, "in": "query", "required": name in needed, "schema": schema}
    if operation.takes_key:
        yield {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}}
    versioned = "{documentId}" in operation.path or operation.path.endswith("/guidelines")
    changes = operation.method in {"PUT", "PATCH"} and versioned
    # The labels of the second person have one author, and need no If-Match; a resolution changes the document as it was
    # read.
    if operation.id == "resolve_disagreement" or (changes and "{reviewId}" not in operation.path):
        yield {"name": "If-Match", "in": "header", "required": True, "schema": {"type": "string"}}


def _answer(operation: Described, status: int, refs: Refs) -> dict[str, Any]:
    model = operation.answers[status]
    data: dict[str, Any] = {
        "description": {200: "Done.", 201: "Created.", 202: "Begun.", 204: "Done."}.get(status, "")
    }
    if isinstance(model, str):
        data["content"] = {model: {"schema": {"type": "string"} if model.startswith("text/") else {}}}
    elif model is not None:
        data["content"] = {"application/json": {"schema": refs[model, "serialization"]}}
    if status == 202 or model in {DocumentModel, GuidelinesModel}:
        header = "operation-location" if status == 202 else "ETag"
        data["headers"] = {header: {"schema": {"type": "string"}}}
    return data
