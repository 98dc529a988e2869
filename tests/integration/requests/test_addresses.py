"""What an address names and does not exist: status, code and target."""

import httpx
import pytest

from shared.wire.api import API_VERSIONS
from tests.integration.requests.answers import A, error
from tests.support.api import PROJECTS, Project, client
from tests.support.hosts import Host


@pytest.mark.parametrize("version", [None, "", "2020-01-01", "latest", "2023-04-01'", "x" * 500])
async def test_an_unknown_api_version_is_400_and_lists_the_known_ones(
    host: Host, version: str | None
) -> None:
    async with client(host.url, version=None) as http:
        answer = await http.get(PROJECTS, params={} if version is None else {"api-version": version})
    assert error(answer) == (400, "InvalidRequest", "api-version")
    assert all(known in answer.json()["error"]["message"] for known in API_VERSIONS)


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_every_known_api_version_works(host: Host, version: str) -> None:
    async with client(host.url, version=version) as http:
        assert (await http.get(PROJECTS)).status_code == 200


@pytest.mark.parametrize(
    "name", ["no-such-project", "x" * 51, "a'b", "a%20b", "%22", "a%5Cb", "%E2%80%AEevil", "$index"]
)
async def test_unknown_and_impossible_projects_are_404(http: httpx.AsyncClient, name: str) -> None:
    for rest in ("", "/documents", f"/documents/{A}", "/autolabel/jobs"):
        assert error(await http.get(f"{PROJECTS}/{name}{rest}")) == (404, "ProjectNotFound", "projectName")


@pytest.mark.parametrize("rest", ["x" * 22, "..", "~", "a" * 5000, "%00", "%F0%9F%98%80", "a'b"])
async def test_unknown_and_impossible_documents_are_404(sample: Project, rest: str) -> None:
    answer = await sample.http.get(f"{sample.path}/documents/{rest}/text")
    assert answer.status_code in ({400} if rest == "%00" else {404})


@pytest.mark.parametrize("job", ["no-such-job", "x" * 101, "a'b", "%F0%9F%98%80"])
@pytest.mark.parametrize(
    "path", ["autolabel/jobs/{}", "autolabel/jobs/{}/documents", "documents/scan/jobs/{}"]
)
async def test_unknown_jobs_are_404(sample: Project, path: str, job: str) -> None:
    answer = await sample.http.get(f"{sample.path}/{path.format(job)}")
    assert error(answer) == (404, "OperationNotFound", "jobId")


async def test_a_delete_that_lost_its_last_segment_deletes_nothing(sample: Project) -> None:
    """`DELETE .../p/models/..` is `.../p/` after the dots are removed, by the client or on the way."""
    assert error(await sample.http.delete(f"{sample.path}/"))[:2] == (404, "NotFound")
    assert (await sample.http.get(sample.path)).status_code == 200


async def test_unknown_addresses_are_404(sample: Project) -> None:
    for method, path in (
        ("GET", f"{sample.path}/nothing"),
        ("DELETE", f"{sample.path}/documents"),
        ("GET", "/language/nothing"),
        ("POST", f"{sample.path}/documents/{A}"),
    ):
        assert error(await sample.http.request(method, path))[:2] == (404, "NotFound"), path


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("PUT", "/deployments/production"),
        ("GET", "/exported-models/out"),
        ("POST", "/:copy"),
        ("POST", "/:authorize-copy"),
        ("POST", "/resources/:assign"),
    ],
)
async def test_what_azure_has_and_we_have_not_is_501_and_says_what_to_use(
    sample: Project, method: str, rest: str
) -> None:
    answer = await sample.http.request(method, f"{sample.path}{rest}")
    assert answer.status_code == 501
    assert answer.json()["error"]["innererror"]["code"] == "NotOffered"


@pytest.mark.parametrize("rest", ["deployments", "exported-models", "resources"])
async def test_lists_of_what_azure_has_and_we_have_not_are_empty(sample: Project, rest: str) -> None:
    """Azure's own clients list them first, and end on an error."""
    answer = await sample.http.get(f"{sample.path}/{rest}")
    assert (answer.status_code, answer.json()) == (200, {"value": []})
    assert error(await sample.http.get(f"{sample.path}-not/{rest}"))[:2] == (404, "ProjectNotFound")
    assert error(await sample.http.post(f"{sample.path}/{rest}", json={}))[0] == 501


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "named"),
    [
        ("POST", ":export?stringIndexType=Utf16CodeUnit&format=xml", {}, 400, "The parameter 'format'"),
        ("POST", ":export?stringIndexType=Utf16CodeUnit&format=aml", {}, 501, "label files"),
        ("POST", ":import?format=xml", {}, 400, "The parameter 'format'"),
        ("POST", ":import?format=aml", {}, 501, ":import-labels"),
        ("POST", ":import", {"format": "xml"}, 400, "The header 'format'"),
    ],
)
async def test_a_format_that_is_not_known_is_refused_where_azure_has_one(
    sample: Project, method: str, path: str, headers: dict[str, str], status: int, named: str
) -> None:
    rest, _, query = path.partition("?")
    params = dict(part.split("=") for part in query.split("&")) if query else {}
    answer = await sample.http.request(
        method, f"{sample.path}/{rest}", params=params, headers=headers, json={}
    )
    assert error(answer)[::2] == (status, "format")
    assert named in answer.json()["error"]["message"]
