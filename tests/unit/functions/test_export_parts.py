"""An export that is larger than an answer may be comes in parts, and the client puts them together."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func
import httpx
import pytest

import function_app  # declares the operations  # noqa: F401
from functions import http
from labelbridge.client.aio import AsyncClient
from shared.services.project_files import exports
from tests.support.services import App, in_process
from tests.support.storage.memory import MemoryStorage

PATH = "/language/authoring/analyze-text/projects/p/export/jobs/job/result"
KEYS = [{"name": "ann", "sha256": hashlib.sha256(b"key").hexdigest(), "roles": ["Labels.Read"]}]
RESULT = next(operation for operation in http.OPERATIONS if operation.id == "get_export_result")


async def get(params: Mapping[str, Any], key: str = "key") -> func.HttpResponse:
    request = func.HttpRequest(
        "GET",
        f"https://host{PATH}",
        headers={"ocp-apim-subscription-key": key},
        params={"api-version": "2023-04-15-preview"} | {name: str(value) for name, value in params.items()},
        route_params={"projectName": "p", "jobId": "job"},
        body=b"",
    )
    return await http.serve(RESULT, request)


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> App:
    app = in_process(MemoryStorage(), api_keys=json.dumps(KEYS))
    monkeypatch.setattr(http, "container", lambda: app.container)
    await app.create(on_upload=False)
    await app.upload({f"{n}.txt": f"Text {n}." for n in range(5)})
    await app.drain()
    monkeypatch.setattr(exports, "MAX_PART", 600)
    await app.container.exports.start("p", "job")
    return app


async def test_each_part_has_the_address_of_the_next(app: App) -> None:
    params: dict[str, str] = {}
    locations: list[str] = []
    for number in range(1, 100):
        answer = await get(params)
        assert answer.status_code == 200
        file = json.loads(answer.get_body())
        locations += [document["location"] for document in file["assets"]["documents"]]
        if "nextLink" not in file:
            break
        parts = urlsplit(file["nextLink"])
        params = dict(parse_qsl(parts.query))
        assert parts.path == PATH
        assert params == {"api-version": "2023-04-15-preview", "part": str(number)}
    assert number > 1
    assert sorted(locations) == [f"{n}.txt" for n in range(5)]


async def test_each_part_needs_the_role_and_must_exist(app: App) -> None:
    assert (await get({"part": 1}, key="wrong")).status_code == 401
    missing = await get({"part": 50})
    assert missing.status_code == 400
    assert json.loads(missing.get_body())["error"]["target"] == "part"
    assert (await get({"part": -1})).status_code == 400


async def test_the_client_puts_the_parts_together(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncClient("https://host", key="key") as client:

        async def call(
            method: str, path: str, *, params: Mapping[str, Any] | None = None, **_: Any
        ) -> httpx.Response:
            answer = await get({name: value for name, value in (params or {}).items() if value is not None})
            return httpx.Response(answer.status_code, content=answer.get_body())

        monkeypatch.setattr(client, "call", call)
        whole = json.loads(await client.project("p").export_result("job"))
    assert "nextLink" not in whole
    assert sorted(document["location"] for document in whole["assets"]["documents"]) == [
        f"{n}.txt" for n in range(5)
    ]
