"""A body that cannot be read is refused whatever the operation: its syntax, content type and size."""

import json
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.integration.requests.answers import A, error
from tests.support.api import PROJECTS, Project
from tests.support.hosts import Host

MALFORMED = {
    "no JSON": b"{",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "NaN": b'{"settings": {"confidenceThreshold": NaN}}',
    "Infinity": b'{"settings": {"confidenceThreshold": -Infinity}}',
    "the same key twice": b'{"description": "a", "description": "b"}',
    "two values": b"{} {}",
    "a comma too many": b'{"description": "a",}',
    "not UTF-8": b'{"description": "\xff"}',
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep lists": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"a": ' + b"9" * 10_000 + b"}",
    "a single quote": b"{'a': 1}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_json_is_400(sample: Project, body: bytes) -> None:
    for method, path in (
        ("PATCH", sample.path),
        ("POST", f"{sample.path}/documents/:review"),
        ("PUT", f"{sample.path}/documents/{A}/labels"),
    ):
        answer = await sample.http.request(method, path, content=body, headers={"If-Match": "*"})
        assert error(answer) == (400, "InvalidRequest", "body"), (method, answer.text)
        reported = answer.json()["error"]
        assert reported["innererror"]["code"] == "InvalidRequestBodyFormat"
        assert "file" not in reported["message"]


async def test_half_a_surrogate_pair_is_no_text(sample: Project) -> None:
    body = rb'{"class": {"category": "\ud83d"}}'
    answer = await sample.http.put(
        f"{sample.path}/documents/{A}/labels", content=body, headers={"If-Match": "*"}
    )
    assert error(answer) == (400, "InvalidArgument", "class.category")
    answer = await sample.http.patch(sample.path, content=rb'{"description": "\ud83d"}')
    assert error(answer) == (400, "InvalidArgument", "description")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml"]
)
async def test_another_content_type_is_415(sample: Project, kind: str) -> None:
    answer = await sample.http.patch(sample.path, content=b"{}", headers={"Content-Type": kind})
    assert error(answer) == (415, "UnsupportedMediaType", "Content-Type")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/merge-patch+json",
        "APPLICATION/JSON",
    ],
)
async def test_json_under_any_of_its_names_is_read(sample: Project, kind: str) -> None:
    answer = await sample.http.patch(sample.path, content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 200


async def test_a_body_over_the_limit_is_413(sample: Project) -> None:
    body = json.dumps({"description": "x" * 4_200_000}).encode()
    assert error(await sample.http.patch(sample.path, content=body)) == (413, "InvalidRequest", "body")


def test_a_body_over_what_the_host_takes_is_refused_unread_by_the_host(host: Host) -> None:
    address = urlsplit(host.url)
    connection = HTTPConnection(str(address.hostname), address.port or 80, timeout=60)
    connection.putrequest("PATCH", f"{PROJECTS}/p")
    connection.putheader("Content-Length", str(33_554_432 + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (500, b"")
    connection.close()


async def test_a_project_file_over_the_limit_is_413(sample: Project) -> None:
    answer = await sample.http.post(f"{sample.path}/:import", content=b" " * (31_457_280 + 1))
    assert error(answer) == (413, "InvalidRequest", "body")


async def test_a_chunked_body_is_411_on_every_route_with_a_body(sample: Project) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"documents": []}'

    for method, path in (
        ("POST", "/autolabel/jobs"),
        ("POST", "/autolabel/:estimate"),
        ("POST", "/documents/:review-all"),
        ("POST", "/:import"),
        ("POST", "/documents/:scan"),
        ("PATCH", ""),
        ("PUT", "/categories"),
    ):
        answer = await sample.http.request(method, sample.path + path, content=chunks())
        assert error(answer) == (411, "InvalidRequest", "Content-Length"), path


async def test_a_job_over_everything_needs_a_body(sample: Project) -> None:
    for path in ("/autolabel/jobs", "/autolabel/:estimate"):
        assert error(await sample.http.post(sample.path + path)) == (400, "InvalidRequest", "body")


async def test_an_empty_body_stands_for_an_empty_object(sample: Project) -> None:
    assert (await sample.http.patch(sample.path, content=b"")).status_code == 200
    answer = await sample.http.post(f"{sample.path}/documents/:review", content=b"")
    assert error(answer) == (400, "InvalidArgument", "decisions")
