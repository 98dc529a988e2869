"""Bodies that are large, deep or wrong in a hundred thousand places cost little and keep nobody waiting."""

import asyncio
import json
import threading
from typing import Any

import azure.functions as func
import pytest
from pydantic import BaseModel

import function_app  # declares the operations  # noqa: F401
from functions import call
from functions.call import INLINE_BODY, check_names, in_thread, parse_body, require_length
from functions.http import OPERATIONS, SMALL_BODY
from shared.domain.errors import InvalidArgument, InvalidRequest, LengthRequired, NotFound
from shared.domain.labels import MAX_ENTITIES
from shared.domain.names import ProjectKind
from shared.wire.autolabel import AutolabelBody
from shared.wire.documents import read_labels
from shared.wire.projects import CategoriesBody
from shared.wire.review import BulkBody, ReviewBody
from shared.wire.training import PushBody

#: Bodies without required fields, whose absence is harmless.
HARMLESS = {
    "put_project", "patch_document", "evaluate_model", "put_document_labels", "disconnect_connection", "scan_documents",
    "put_blind_labels", "resolve_disagreement",
}  # fmt: skip
#: Names that no object of a request has; so many that all of them make 200,000 errors.
UNKNOWN = [f"unknown{number}" for number in range(990)]
BODIES = {
    operation.id: operation.body
    for operation in OPERATIONS
    if operation.body is not None and operation.id not in HARMLESS
}


def request(body: bytes = b"", method: str = "POST", path: str = "/x", **headers: str) -> func.HttpRequest:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return func.HttpRequest(method, f"http://host{path}", headers=names, body=body)


async def parse(model: type[BaseModel], body: bytes) -> BaseModel:
    return await parse_body(model, request(body), SMALL_BODY)


@pytest.mark.parametrize("name", BODIES)
async def test_an_absent_body_never_means_everything(name: str) -> None:
    with pytest.raises(InvalidArgument):
        await parse(BODIES[name], b" \n")


def test_a_chunked_body_is_refused_with_411() -> None:
    with pytest.raises(LengthRequired):
        require_length(request(transfer_encoding="chunked"))
    require_length(request(b"{}", content_length="2"))


async def test_a_large_body_is_parsed_in_a_thread() -> None:
    main = threading.get_ident()
    assert await in_thread(INLINE_BODY, threading.get_ident) == main
    assert await in_thread(INLINE_BODY + 1, threading.get_ident) != main


@pytest.mark.parametrize("item", [b"1", b"[]", b"{}", b"null"])
async def test_of_a_list_of_names_only_the_first_error_is_collected(item: bytes) -> None:
    body = b'{"documents":[' + b",".join([item] * 90_000) + b"]}"
    with pytest.raises(InvalidArgument) as caught:
        await parse(AutolabelBody, body)
    assert (caught.value.target, caught.value.details) == ("documents[0]", ())


@pytest.mark.parametrize(
    ("model", "body", "target"),
    [
        (AutolabelBody, {"documents": [1] * 100_001}, "documents"),
        (AutolabelBody, {"categories": [1] * 201}, "categories"),
        (BulkBody, {"decision": "accept", "categories": [1] * 201}, "categories"),
        (
            ReviewBody,
            {"decisions": [{"documentId": "a", "eTag": "*", "accept": [1] * 10_001}]},
            "decisions[0].accept",
        ),
    ],
)
async def test_the_length_of_a_list_is_checked_before_its_items(
    model: type[BaseModel], body: Any, target: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await parse(model, json.dumps(body).encode())
    assert str(caught.value.target).startswith(target)
    assert caught.value.details == ()


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        (b"1," * 2_000_000 + b"1", "400,000 values"),
        ((b"[" * 900 + b"]" * 900 + b",") * 2_000 + b"1", "200,000 objects and lists"),
        (b'{"category":1},' * 270_000 + b"1", "200,000 objects and lists"),
    ],
)
async def test_millions_of_values_are_refused_before_they_are_decoded(values: bytes, limit: str) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {limit}"):
        await parse(AutolabelBody, b'{"documents":[' + values + b"]}")


async def test_an_object_with_thousands_of_members_is_refused_as_one_error() -> None:
    for count in (1_001, 200_000):
        body = json.dumps({f"x{number}": 1 for number in range(count)}).encode()
        with pytest.raises(InvalidRequest, match="more than 1,000 members"):
            await parse(AutolabelBody, body)


async def test_an_object_with_far_too_many_members_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "JsonReader", None)
    with pytest.raises(InvalidRequest, match="more than 1,000 members"):
        await parse(AutolabelBody, b"{" + b'"x" :1,' * 200_000 + b'"y":1}')


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (CategoriesBody, {"value": [{"category": "a"} | dict.fromkeys(UNKNOWN, 1)] * 200}),
        (ReviewBody, {"decisions": [dict.fromkeys(UNKNOWN, 1)] * 100}),
        (PushBody, {"evaluationOptions": {"kind": "manual"}} | dict.fromkeys(UNKNOWN, 1)),
    ],
)
async def test_unknown_fields_are_counted_to_100(model: type[BaseModel], body: Any) -> None:
    with pytest.raises(InvalidArgument, match="more than 100 errors") as caught:
        await parse(model, json.dumps(body).encode())
    assert len(caught.value.details) == 100
    assert str(caught.value.details[0]).startswith(f"'{caught.value.target}' is not a field")
    assert str(caught.value.target).rpartition(".")[2] == UNKNOWN[0]


async def test_a_few_unknown_fields_are_reported_with_all_other_errors() -> None:
    body = {"value": [{"category": "a", "x": 1}, {"category": 1, "y": 1}]}
    with pytest.raises(InvalidArgument) as caught:
        await parse(CategoriesBody, json.dumps(body).encode())
    assert [detail.target for detail in caught.value.details if isinstance(detail, InvalidArgument)] == [
        "value[0].x",
        "value[1].category",
        "value[1].y",
    ]


async def test_deep_nesting_is_a_bad_request() -> None:
    for depth in (3_000, 200_000):
        body = b'{"documents":' + b"[" * depth + b"]" * depth + b',"engine":"\\u0041"}'
        with pytest.raises(InvalidArgument):
            await parse(AutolabelBody, body)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ProjectKind.MULTI_LABEL, [{"category": f"{number:x}"} for number in range(60_000)]),
        (ProjectKind.ENTITIES, [0] * (MAX_ENTITIES + 1)),
        (
            ProjectKind.ENTITIES,
            [{"regionOffset": 0, "regionLength": 9, "labels": [0] * (MAX_ENTITIES + 1)}],
        ),
    ],
)
def test_a_label_field_is_measured_before_it_is_read(kind: ProjectKind, value: Any) -> None:
    with pytest.raises(InvalidArgument, match="at most") as caught:
        read_labels(kind, value)
    assert caught.value.details == ()


@pytest.mark.parametrize("path", ["/p/", "/p//", "/p/models/"])
def test_a_path_that_ends_in_a_slash_never_deletes(path: str) -> None:
    with pytest.raises(NotFound):
        check_names("existing", request(method="DELETE", path=path))
    check_names("existing", request(method="GET", path=path))


def test_parsing_many_bodies_at_once_keeps_their_order() -> None:
    async def all_bodies() -> list[BaseModel]:
        bodies = [json.dumps({"documents": [str(n)] * 40_000}).encode() for n in range(4)]
        return list(await asyncio.gather(*(parse(AutolabelBody, body) for body in bodies)))

    assert [body.documents[0] for body in asyncio.run(all_bodies())] == ["0", "1", "2", "3"]  # type: ignore[attr-defined]
