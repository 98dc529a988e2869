"""The client against the running host: whole paths, the host's own answers, repeats that do nothing twice."""

import copy
import json
import pickle
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from labelbridge.client import ApiError, AsyncClient, Client, JobFailed, NotReachable, TimedOut
from tests.integration.conftest import MakeProject
from tests.support.api import PROJECTS, SINGLE
from tests.support.hosts import KEY, Host

NO_PAUSE = (0.0, 0.0, 0.0)


@pytest.fixture
def client(host: Host):
    with Client(host.url, key=KEY, pauses=NO_PAUSE) as made:
        yield made


def answering(*answers: httpx.Response | Exception, **more: Any) -> tuple[Client, list[httpx.Request]]:
    """A client whose server gives these answers, one after the other, and what it was asked."""
    waiting, asked = list(answers), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    client = Client("http://x/base/", key="k", pauses=NO_PAUSE, transport=httpx.MockTransport(answer), **more)
    return client, asked


OK = httpx.Response(200, json={"value": []})


# Whole paths


async def test_from_upload_to_an_exported_file(client: Client, new_project: MakeProject):
    project = await new_project(create=False)
    await project.upload({"a.txt": "@Refund:73 please", "b.txt": "@Login:91", "c.txt": "A refund."})
    mine = client.project(project.name)
    made = mine.put(
        {
            "projectKind": SINGLE,
            "storageInputContainerName": project.container,
            "language": "en-us",
            "settings": {"autolabel": {"onUpload": False}},
        }
    )
    assert made["projectName"] == project.name
    assert project.name in {listed["projectName"] for listed in client.projects()}
    mine.scan().wait()
    [document] = [found for found in mine.documents() if found["location"] == "c.txt"]
    assert mine.text(document["id"]) == "A refund."
    assert mine.set_labels(document, {"class": {"category": "Refund"}})["status"] == "labeled"
    mine.put_categories([{"category": "Login"}])

    seen: list[str] = []
    job = mine.autolabel()
    assert job.wait(lambda state: seen.append(state["status"]))["status"] == seen[-1] == "succeeded"
    assert job.id == next(mine.autolabel_jobs())["jobId"]
    suggested = list(mine.documents(status="autoLabeled", orderby="uncertainty", top=1))
    assert [row["location"] for row in suggested] == ["a.txt", "b.txt"]
    [result] = mine.review(
        [{"documentId": suggested[0]["id"], "eTag": suggested[0]["eTag"], "acceptAll": True}]
    )
    assert result["status"] == "saved"
    assert (mine.review_all({"decision": "accept"}).wait().get("result") or {})["changed"] == 1

    exported = mine.export()
    exported.wait()
    file = json.loads(mine.export_result(exported.id))
    labels = {entry["location"]: entry["class"]["category"] for entry in file["assets"]["documents"]}
    assert labels == {"a.txt": "Refund", "b.txt": "Login", "c.txt": "Refund"}
    mine.delete().wait()
    with pytest.raises(ApiError, match=f"The project '{project.name}' does not exist") as refused:
        mine.get()
    assert (refused.value.status, refused.value.code) == (404, "ProjectNotFound")


async def test_the_asynchronous_client_does_the_same(host: Host, new_project: MakeProject):
    project = await new_project()
    await project.suggested({f"{n}.txt": f"@Refund:7{n}" for n in range(3)}, "Refund")
    async with AsyncClient(host.url, key=KEY) as client:
        mine = client.project(project.name)
        found = [document["location"] async for document in mine.documents(status="autoLabeled", top=2)]
        assert sorted(found) == ["0.txt", "1.txt", "2.txt"]
        state = await (await mine.review_all({"decision": "accept"})).wait()
        assert (state.get("result") or {})["changed"] == 3
        assert (await mine.statistics())["documents"]["labeled"] == 4
        assert (await client.who_am_i())["roles"]


async def test_a_conflict_has_the_current_document(client: Client, new_project: MakeProject):
    project = await new_project()
    await project.upload({"a.txt": "one"})
    mine = client.project(project.name)
    mine.scan().wait()
    [document] = mine.documents()
    mine.set_labels(document, {"class": {"category": "A"}})
    with pytest.raises(ApiError) as refused:
        mine.set_labels(document, {"class": {"category": "B"}})
    assert refused.value.status == 409
    assert refused.value.document
    assert refused.value.document.get("class") == {"category": "A"}


def test_a_name_with_a_slash_is_a_project_that_does_not_exist(client: Client):
    with pytest.raises(ApiError) as refused:
        client.project("a/b?c").get()
    assert refused.value.status == 404


def test_the_credential_gives_one_token_for_many_requests():
    asked: list[str] = []

    class Credential:
        def get_token(self, *scopes: str) -> Any:
            asked.extend(scopes)
            return SimpleNamespace(
                token=f"t{len(asked)}", expires_on=time.time() + (3600 if asked[1:] else 60)
            )

    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return OK

    transport = httpx.MockTransport(answer)
    with Client("http://x", credential=Credential(), scope="api://a/.default", transport=transport) as client:
        for _ in range(3):
            list(client.projects())
    assert [sent.headers["authorization"] for sent in requests] == ["Bearer t1", "Bearer t2", "Bearer t2"]
    assert asked == ["api://a/.default"] * 2  # the first was about to expire


# Answers of the host itself


@pytest.mark.parametrize("status", [429, 503, 500, 408])
async def test_what_the_host_answers_for_a_moment_is_repeated(
    client: Client, host: Host, new_project: MakeProject, status: int
):
    project = await new_project()
    path = f"{PROJECTS}/{project.name}/categories"
    client.project(project.name).get()
    host.answers.write_text(json.dumps([{"path": path, "status": status, "times": 2}]))
    try:
        assert client.project(project.name).categories() == []
    finally:
        host.answers.unlink()


def test_an_unknown_address_of_the_host_is_a_sentence(host: Host):
    with Client(f"{host.url}/elsewhere", key=KEY) as client, pytest.raises(ApiError, match="check the URL"):
        client.health()


def test_nothing_listens():
    # Port 9 discards; nothing of ours listens there.
    with (
        Client("http://127.0.0.1:9", key=KEY) as client,
        pytest.raises(NotReachable, match="cannot be reached"),
    ):
        client.health()


def test_a_field_that_is_missing_is_the_answer_of_another_server():
    """Of inner objects, too; an optional field has `get`, and answers are dictionaries in all else."""
    found = {"documents": {"labeled": 1}}
    client, _ = answering(*[httpx.Response(200, json=found)] * 2, httpx.Response(200, json={}))
    counts = client.project("p").statistics()
    assert counts == found == json.loads(json.dumps(counts)) == copy.deepcopy(counts)
    assert pickle.loads(pickle.dumps(counts)) == found
    assert counts.get("categories") is None
    said = r"http://x answered with status 200, but not as Labelbridge does \('autoLabeled' is missing\)\."
    with pytest.raises(NotReachable, match=f"^{said}$") as raised:
        _ = client.project("p").statistics()["documents"]["autoLabeled"]
    assert isinstance(raised.value, KeyError)
    with pytest.raises(NotReachable, match="'resent' is missing"):
        client.resend_dead_letters()


def test_a_job_that_has_no_address_is_the_answer_of_another_server():
    client, _ = answering(httpx.Response(200, json={"jobId": "j"}))
    with pytest.raises(NotReachable, match="but not as Labelbridge does"):
        client.project("p").export()


def test_a_scope_that_is_no_text_is_the_answer_of_another_server():
    client, _ = answering(httpx.Response(200, json={"scope": 7}), httpx.Response(200, json={"scope": None}))
    with pytest.raises(NotReachable, match="but not as Labelbridge does"):
        client.studio_config()
    assert client.studio_config()["scope"] is None


# Repeats


def test_a_post_is_repeated_under_one_key():
    client, asked = answering(
        httpx.Response(500), httpx.ReadError("reset"), httpx.Response(200, json={"results": []})
    )
    client.project("p").review([])
    keys = {request.headers["idempotency-key"] for request in asked}
    assert len(asked) == 3
    assert len(keys) == 1
    assert asked[0].content == asked[2].content
    assert str(asked[0].url).startswith("http://x/base/language/")


def test_what_must_not_happen_twice_is_not_repeated():
    client, asked = answering(httpx.ReadError("reset"))
    with pytest.raises(NotReachable, match="The connection to http://x/base/ broke"):
        client.project("p").delete()
    assert len(asked) == 1
    accepted = httpx.Response(
        202, headers={"operation-location": "http://x/base/language/jobs/1?api-version=1"}
    )
    client, asked = answering(httpx.Response(503, text="Function host is not running."), accepted)
    assert client.project("p").delete().id == "1"


def test_a_defect_is_not_repeated():
    client, asked = answering(httpx.Response(500, json={"error": {"code": "E", "message": "A defect."}}))
    with pytest.raises(ApiError, match=r"A defect\."):
        client.health()
    assert len(asked) == 1


def test_retry_after_is_followed_unless_it_is_long():
    waited: list[float] = []
    client, _ = answering(
        httpx.Response(503, headers={"retry-after": "0"}), OK, on_retry=lambda _, pause: waited.append(pause)
    )
    list(client.projects())
    assert waited == [0]
    client, asked = answering(httpx.Response(503, headers={"retry-after": "3600"}))
    with pytest.raises(ApiError):
        list(client.projects())
    assert len(asked) == 1


def test_a_save_whose_answer_was_lost_meets_itself():
    labels: Any = {"class": {"category": "A"}}
    document: Any = {"id": "abc", "eTag": '"1"'}
    conflict = {"error": {"code": "Conflict", "message": "changed"}, "document": document | labels}
    client, _ = answering(httpx.ReadTimeout("slow"), httpx.Response(409, json=conflict))
    assert client.project("p").set_labels(document, labels).get("class") == {"category": "A"}
    other: Any = {"class": {"category": "B"}}
    client, _ = answering(httpx.ReadTimeout("slow"), httpx.Response(409, json=conflict))
    with pytest.raises(ApiError):
        client.project("p").set_labels(document, other)
    client, _ = answering(httpx.Response(409, json=conflict))
    with pytest.raises(ApiError):
        client.project("p").set_labels(document, labels)


def test_a_host_that_restarts_is_waited_for_and_a_wrong_address_is_not():
    client, asked = answering(httpx.ConnectError("refused"))
    with pytest.raises(NotReachable, match="cannot be reached"):
        list(client.projects())
    assert len(asked) == 1
    client, asked = answering(OK, httpx.ConnectError("refused"), httpx.ConnectError("refused"), OK)
    list(client.projects())
    list(client.projects())
    assert len(asked) == 4


def test_keys_go_to_our_own_server_only():
    project = {"projectName": "a"}
    first = {"value": [project], "nextLink": "http://evil.example/base/next?skip=1"}
    client, asked = answering(httpx.Response(200, json=first), OK)
    assert list(client.projects()) == [project]
    assert str(asked[1].url) == "http://x/base/next?skip=1&api-version=2023-04-15-preview"


# Jobs


def state(status: str, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"jobId": "j", "status": status, **more})


@pytest.mark.parametrize("status", ["failed", "cancelled", "partiallyCompleted"])
def test_a_job_that_ends_otherwise_is_an_error_with_its_reasons(status: str):
    errors = [{"code": "E", "message": "Too few labels."}]
    client, _ = answering(state("running"), state(status, errors=errors))
    with pytest.raises(JobFailed, match=f"'{status}'. Too few labels."):
        client.job("http://x/jobs/j?api-version=1").wait(poll=(0, 0))


def test_a_failed_training_says_what_it_left_out():
    errors, warnings = (
        [{"code": "E", "message": "2 missing."}],
        [{"code": "W", "message": "Left out: a.txt."}],
    )
    client, _ = answering(state("failed", errors=errors, warnings=warnings))
    with pytest.raises(JobFailed, match=r"2 missing\. Left out: a\.txt\."):
        client.job("http://x/jobs/j?api-version=1").wait(poll=(0, 0))


def test_an_error_with_one_detail_shows_it():
    body = {"error": {"code": "C", "message": "2 missing.", "details": [{"target": "t", "message": "Why."}]}}
    client, _ = answering(httpx.Response(400, json=body))
    with pytest.raises(ApiError, match=r"^2 missing\. t: Why\.$"):
        client.health()


def test_waiting_ends_after_its_timeout():
    client, _ = answering(*[state("running")] * 2)
    with pytest.raises(TimedOut, match="it is 'running'"):
        client.job("/jobs/j").wait(timeout=-1)
