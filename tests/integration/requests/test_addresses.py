"""What an address names and does not exist is told by its status, code and target (LOCAL.md 10)."""

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
        ("GET", "/exported-models"),
        ("POST", "/:copy"),
        ("POST", "/:authorize-copy"),
        ("GET", "/resources"),
    ],
)
async def test_what_azure_has_and_we_have_not_is_501_and_says_what_to_use(
    sample: Project, method: str, rest: str
) -> None:
    answer = await sample.http.request(method, f"{sample.path}{rest}")
    assert answer.status_code == 501
    assert answer.json()["error"]["innererror"]["code"] == "NotOffered"
