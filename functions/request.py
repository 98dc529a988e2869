"""Requests, parsed and checked: every fault names the field and the rule."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import Any, cast

import azure.functions as func
from pydantic import BaseModel

from shared.domain.errors import (
    InvalidArgument,
    InvalidRequest,
    JobNotFound,
    ProjectNotFound,
    TooLarge,
    UnsupportedMediaType,
)
from shared.domain.names import model_label_fault, project_name_fault
from shared.storage.models import ModelNotFound
from shared.wire.api import API_VERSIONS
from shared.wire.faults import Faults, ascii_safe, has_lone_surrogate
from shared.wire.json_reader import JsonReader

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def header_of(request: func.HttpRequest, name: str) -> str | None:
    """A header by its name in lower case, as the host gives them."""
    return cast("Mapping[str, str]", request.headers).get(name)


def check_version(request: func.HttpRequest) -> str:
    version = request.params.get("api-version", "")
    if version in API_VERSIONS:
        return version
    text = "is missing" if not version else f"'{version[:40]}' is not known"
    raise InvalidRequest(
        f"The api-version {text}. Known versions: {', '.join(API_VERSIONS)}.",
        target="api-version",
        inner_code="InvalidParameterValue",
    )


def check_names(operation: str, request: func.HttpRequest) -> None:
    """Names that nothing can have are answered like names that nothing has."""
    project = request.route_params.get("projectName")
    open_to_all = {"put_project", "zy_not_offered"}  # it says so itself, or tells what to use instead
    fault = project_name_fault(project) if project is not None and operation not in open_to_all else None
    if project is not None and fault:
        if operation in {"import_project", "import_labels"}:  # they make the project
            raise InvalidArgument(fault, target="projectName")
        raise ProjectNotFound(project[:60])
    job = request.route_params.get("jobId")
    if job is not None and not _JOB_ID.fullmatch(job):
        raise JobNotFound(job[:60])
    model = request.route_params.get("trainedModelLabel")
    if model is not None and model_label_fault(model):
        raise ModelNotFound(model)


def parse_query[M: BaseModel](model: type[M], request: func.HttpRequest) -> M:
    """The query string, whose values are all text; unknown parameters are ignored, as Azure does."""
    return model.model_validate(
        {k: v for k, v in request.params.items() if k != "api-version"}, by_name=False
    )


def parse_body[M: BaseModel](model: type[M], request: func.HttpRequest, limit: int) -> M:
    """The JSON object of the body: a number is no text, and a text no boolean.

    No body stands for `{}`, as far as the model allows that.
    """
    body = request.get_body()
    if len(body) > limit:
        raise TooLarge(
            f"The body has {len(body):,} bytes; this operation takes at most {limit:,}.", target="body"
        )
    if not body.strip():
        return model.model_validate({}, by_name=False)
    _check_content_type(header_of(request, "content-type") or "")
    try:
        reader = JsonReader(body)
        value = reader.value()
        reader.end()
    except InvalidRequest as error:
        raise _malformed(error.message.replace("The file", "The body", 1)) from None
    if reader.complaints:
        raise _malformed(reader.complaints[0])
    if not isinstance(value, dict):
        raise _malformed("The body must be a JSON object.")
    if b"\\u" in body:
        _check_text(cast("dict[str, Any]", value))
    return model.model_validate_json(body.removeprefix(BOM_UTF8), strict=True, by_name=False)


def _check_text(value: dict[str, Any]) -> None:
    """Only the escapes of JSON can bring in half of a surrogate pair, which is no text and cannot be answered."""
    faults = Faults("body")
    for path in _halves(value, ""):
        faults.add(path or "body", "A text is valid Unicode (it holds half of a surrogate pair).")
    faults.raise_any()


def _halves(value: object, path: str) -> Iterator[str]:
    """Paths of texts with half of a surrogate pair; of an object with such a key, its own."""
    if isinstance(value, str) and has_lone_surrogate(value):
        yield path
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _halves(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            if has_lone_surrogate(key):
                yield path
            yield from _halves(item, f"{path}.{ascii_safe(key)}" if path else ascii_safe(key))


def _malformed(message: str) -> InvalidRequest:
    return InvalidRequest(message, target="body", inner_code="InvalidRequestBodyFormat")


def _check_content_type(header: str) -> None:
    """JSON under any of its names, `application/merge-patch+json` too; no header at all is taken as JSON."""
    kind = header.partition(";")[0].strip().lower()
    if kind and kind not in {"application/json", "text/json"} and not kind.endswith("+json"):
        raise UnsupportedMediaType(
            f"The body must be application/json, not '{kind[:60]}'.", target="Content-Type"
        )


def required_text(value: str | None, target: str) -> str:
    if not value:
        raise InvalidArgument(f"'{target}' is required.", target=target)
    return value
