"""Azure Language through the running host: suggestions of a deployed model, and a push; the service is a fake."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.storage.gateways.ports import Blobs
from tests.fakes.faults import Fault
from tests.fakes.language import AUTHORING, KEY, RUNTIME, FakeLanguage
from tests.fakes.server import serve
from tests.support.api import ENTITIES, MULTI, SINGLE, Json, Project, client, unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET, Host, running_host
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
ENGINE = "azure-language"


@pytest.fixture
async def service() -> AsyncIterator[FakeLanguage]:
    fake = FakeLanguage()
    fake.deployed = {("support", "production")}
    async with serve(fake.app()) as fake.address:
        yield fake


@pytest.fixture
def prefix() -> str:
    return unique("l").replace("-", "")[:12]


@pytest.fixture
async def blobs(azurite: Azurite, prefix: str) -> AsyncIterator[Blobs]:
    async with azurite.storage(prefix) as clients:
        yield clients.blobs


def settings(service: FakeLanguage) -> dict[str, str]:
    return {
        "LANGUAGE_ENDPOINT": service.address,
        "LANGUAGE_PROJECT": "support",
        "LANGUAGE_DEPLOYMENT": "production",
        "LANGUAGE_KEY": KEY,
        "SWEEP_SCHEDULE": "*/2 * * * * *",
    }


@asynccontextmanager
async def project_on(
    host: Host, blobs: Blobs, kind: str = SINGLE, before: Project | None = None
) -> AsyncIterator[Project]:
    """A new project, or the one from before on another host."""
    async with client(host.url) as http:
        if before is not None:
            yield Project(http, blobs, before.name, before.container, kind)
            return
        container = unique(QUIET)
        await blobs.create_container(container)
        project = Project(http, blobs, unique("p"), container, kind)
        await project.create()
        yield project


def categories(document: Json) -> list[str]:
    return [suggestion["category"] for suggestion in document["suggestions"]]


@pytest.mark.parametrize("kind", [SINGLE, MULTI, ENTITIES])
async def test_documents_get_the_suggestions_of_the_deployed_model(
    azurite, tmp_path, service, prefix, blobs, kind
):
    text = "😀 naïve\r\n@Refund:73 and 🇩🇪 @Login:60"
    texts = {f"{n:02}.txt": f"{text} {n}" for n in range(30)} | {
        "bad.txt": "@reject",
        "no.txt": "@Unknown:99",
    }
    service.faults = [Fault(f"POST {RUNTIME}", status=429, retry_after=1)]
    service.polls = 1
    with running_host(azurite, prefix, tmp_path, settings(service)) as host:
        async with project_on(host, blobs, kind) as project:
            await project.upload(texts)
            await project.define("Refund", "Login")
            job = await project.autolabel(engine=ENGINE)
            documents = {
                document["location"]: document for document in await project.documents(status="autoLabeled")
            }
            job_id = documents["00.txt"]["suggestions"][0]["jobId"]
            outcomes = {
                row["location"]: row
                for row in (await project.get(f"/autolabel/jobs/{job_id}/documents"))["value"]
            }

    assert job["status"] == "partiallyCompleted"
    assert job["result"]["outcomes"] == {"suggested": 30, "nothingFound": 1, "skipped": 0, "failed": 1}
    assert outcomes["bad.txt"]["error"]["code"] == "InvalidDocument"
    assert categories(documents["07.txt"]) == (["Refund"] if kind == SINGLE else ["Refund", "Login"])
    suggestion = documents["07.txt"]["suggestions"][0]
    assert (suggestion["confidence"], suggestion["engine"]) == (0.73, ENGINE)
    assert suggestion["model"] == "support/production"
    if kind == ENTITIES:
        encoded = f"{text} 7".encode("utf-16-le")
        found = [
            encoded[2 * label["offset"] : 2 * (label["offset"] + label["length"])].decode("utf-16-le")
            for label in documents["07.txt"]["suggestions"]
        ]
        assert found == ["@Refund:73", "@Login:60"]
    assert all(len(body["analysisInput"]["documents"]) <= 25 for body in service.requests)


async def test_a_push_ends_with_a_model_that_the_projects_jobs_use(azurite, tmp_path, service, prefix, blobs):
    service.polls = 1
    with running_host(azurite, prefix, tmp_path, settings(service)) as host:
        async with project_on(host, blobs) as project:
            await project.upload({"a.txt": "@Refund:73"})
            refused = await project.http.post(f"{project.path}/:push", json={})
            await project.define("Refund", "Login")
            started = await project.http.post(f"{project.path}/:push", json={"deploymentName": "live"})
            again = await project.http.post(f"{project.path}/:push", json={})
            push = await project.ended(started.headers["operation-location"])
            listed = await project.get("/push/jobs")
            shown = await project.get("")
            service.requests.clear()
            await project.autolabel(engine=ENGINE)

    assert (refused.status_code, refused.json()["error"]["target"]) == (400, "documents")
    assert started.status_code == 202
    assert again.status_code == 409
    assert (push["status"], push["errors"]) == ("succeeded", [])
    assert push["result"]["percentComplete"] == 100
    assert [job["jobId"] for job in listed["value"]] == [push["jobId"]]
    assert shown["deployedModel"] == {"projectName": project.name, "deploymentName": "live"}
    [body] = service.requests
    parameters = body["tasks"][0]["parameters"]
    assert (parameters["projectName"], parameters["deploymentName"]) == (project.name, "live")


async def test_a_push_and_a_job_go_on_after_kill_9(azurite: Azurite, tmp_path: Path, service, prefix, blobs):
    """The host dies while the service trains, and while a batch waits for answers."""
    service.polls, service.retry_after = 1_000, 9
    with running_host(azurite, prefix, tmp_path, settings(service)) as first:
        async with project_on(first, blobs) as project:
            await project.upload({f"{n}.txt": f"@Refund:73 {n}" for n in range(5)})
            await project.define("Refund", "Login")
            job = await project.http.post(f"{project.path}/autolabel/jobs", json={"engine": ENGINE})
            push = await project.http.post(f"{project.path}/:push", json={})

            async def trains() -> bool:
                for operation in service.operations.values():
                    if operation.kind.startswith("import"):
                        operation.polls = 0
                running = any(operation.kind.startswith("train") for operation in service.operations.values())
                return running and len(service.requests) == 1

            await eventually("the service trains", trains)
        first.kill()
    for operation in service.operations.values():
        operation.polls = 0
    service.polls, service.retry_after = 0, None
    with running_host(azurite, prefix, tmp_path, settings(service)) as second:
        async with project_on(second, blobs, before=project) as project:
            jobs = [
                await project.ended(answer.headers["operation-location"].replace(first.url, second.url), 90)
                for answer in (job, push)
            ]

    assert [ended["status"] for ended in jobs] == ["succeeded", "succeeded"]
    assert service.calls[f"POST {RUNTIME}"] == 1
    assert service.calls[f"POST {AUTHORING}{project.name}/:train"] == 1


async def test_a_cancelled_push_ends_cancelled_and_says_so_to_pollers(
    azurite, tmp_path, service, prefix, blobs
):
    service.polls = 1_000
    with running_host(azurite, prefix, tmp_path, settings(service)) as host:
        async with project_on(host, blobs) as project:
            await project.define("Refund", "Login")
            started = await project.http.post(f"{project.path}/:push", json={})
            url = started.headers["operation-location"]
            cancelled = await project.http.post(url.replace("?", "/:cancel?"))
            job = await project.ended(url)
            cancellation = await project.ended(cancelled.headers["operation-location"])

    assert cancelled.status_code == 202
    assert (job["status"], cancellation["status"]) == ("cancelled", "succeeded")


async def test_without_its_settings_the_engine_says_which_are_missing(sample: Project):
    job = await sample.http.post(f"{sample.path}/autolabel/jobs", json={"engine": ENGINE})
    push = await sample.http.post(f"{sample.path}/:push", json={})

    assert (job.status_code, push.status_code) == (400, 400)
    for answer in (job, push):
        assert "LANGUAGE_ENDPOINT" in answer.json()["error"]["message"]
    assert job.json()["error"]["target"] == "engine"


async def test_without_a_model_the_engine_says_what_to_set_or_do(azurite, tmp_path, service, prefix, blobs):
    bare = settings(service) | {"LANGUAGE_PROJECT": ""}
    with running_host(azurite, prefix, tmp_path, bare) as host:
        async with project_on(host, blobs) as project:
            await project.upload({"a.txt": "@Refund:73"})
            await project.define("Refund")
            job = await project.autolabel(engine=ENGINE)
            engines = {engine["engine"]: engine for engine in (await project.get("/engines"))["value"]}

    assert job["status"] == "failed"
    assert job["errors"][0]["code"] == "EngineNotConfigured"
    assert "set LANGUAGE_PROJECT, or push the project" in job["errors"][0]["message"]
    assert "LANGUAGE_PROJECT" in engines[ENGINE]["unavailable"]
