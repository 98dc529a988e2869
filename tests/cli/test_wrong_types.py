"""Responses that look like the app's but have a value of the wrong type somewhere, and lists that never end.

The answers are made from the OpenAPI document; every command ends with a sentence and a status, whatever is wrong.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import httpx
import pytest

import function_app
from functions.http import OPERATIONS
from functions.system import VERSION
from labelbridge.cli import session
from labelbridge.client import AsyncClient, Client, JobFailed, NotReachable, ProjectClient, checks
from shared.runtime.openapi import describe
from tests.cli.terminal import Cli
from tests.cli.test_other_servers import JSON, every_command, offline, quick

__all__ = ["offline", "quick"]  # fixtures

assert function_app.app is not None  # it registers the operations
DESCRIBED: dict[str, Any] = json.loads(json.dumps(describe(OPERATIONS, VERSION)))
PATHS = [
    (re.compile(re.sub(r"{\w+}", "[^/:]+", path)), by_method)
    for path, by_method in DESCRIBED["paths"].items()
]
#: Left out of good answers: there is one page, and errors have no errors inside.
LEFT_OUT = {"nextLink", "continuationToken", "details"}
WRONG: tuple[Any, ...] = (7, -1, 0.5, "x", "", None, True, [], [7], {}, {"x": 7})
RESULT = {"result": {"matched": 1, "changed": 1, "outcomes": {"suggested": 1}, "percentComplete": 100}}
#: Of each command with the good answers.
TRIES = 4


def sample(schema: dict[str, Any], random: Random) -> Any:
    """A value that the schema allows, with every field."""
    if "$ref" in schema:
        return sample(DESCRIBED["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]], random)
    if "anyOf" in schema:
        return sample(next(option for option in schema["anyOf"] if option.get("type") != "null"), random)
    if "allOf" in schema:
        return sample(schema["allOf"][0], random)
    if "enum" in schema:
        return "succeeded" if "succeeded" in schema["enum"] else random.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    if "properties" in schema:
        fields = {name: field for name, field in schema["properties"].items() if name not in LEFT_OUT}
        return {name: sample(field, random) for name, field in fields.items()}
    if isinstance(schema.get("additionalProperties"), dict):
        return {"x": sample(schema["additionalProperties"], random)}
    simple: dict[str, Any] = {
        "string": "x", "integer": 1, "number": 0.5, "boolean": True, "null": None,
        "array": [sample(schema["items"], random)] if "items" in schema else [],
    }  # fmt: skip
    return simple.get(schema.get("type", ""), {})


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*before, key)
        yield from places(item, (*before, key))


def replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return by
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], by)
    return copy


class App:
    """Answers each request as its operation is described, but for one value of one operation."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.answers: dict[str, Any] = {}
        self.wrong: tuple[str, tuple[Any, ...], Any] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        headers = {"content-type": JSON, "operation-location": "http://app/language/authoring/x/jobs/j"}
        name, schema = self._described(request)
        if name not in self.answers:
            made = sample(schema, self.random)
            self.answers[name] = made | RESULT if isinstance(made, dict) else made
        body = self.answers[name]
        if self.wrong and self.wrong[0] == name:
            body = replaced(body, *self.wrong[1:])
        return httpx.Response(200, headers=headers, json=body)

    def _described(self, request: httpx.Request) -> tuple[str, dict[str, Any]]:
        for pattern, by_method in PATHS:
            if pattern.fullmatch(request.url.path) and request.method.lower() in by_method:
                operation = by_method[request.method.lower()]
                content = operation["responses"].get("200", {}).get("content", {})
                if content:
                    return operation["operationId"], next(iter(content.values()))["schema"]
        return "job", {"$ref": "#/components/schemas/JobModel"}


def test_a_value_of_a_wrong_type_is_no_defect(offline: Cli, quick: None, monkeypatch: pytest.MonkeyPatch):
    """Whatever is raised on purpose ends the command; anything else would be raised here."""
    random = Random(1)
    ends: Counter[int] = Counter()
    for words in every_command(offline.folder):
        app = App(random)
        monkeypatch.setattr(session, "Client", partial(Client, transport=httpx.MockTransport(app)))
        offline(*words, status=None)
        found = [(name, place) for name, answer in app.answers.items() for place in places(answer)]
        for name, place in random.sample(found, min(TRIES, len(found))):
            app.wrong = name, place, random.choice(WRONG)
            result = offline(*words, *random.choice((["--json"], [])), status=None)
            ends[result.status] += 1
            if result.status == 3:
                assert "but not as Labelbridge does" in result.err, (words, app.wrong)
    assert ends[3] > 50, ends


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"value": [7]}, "'value[0]' is not an object"),
        ({"value": 7}, "'value' is not a list"),
        ({"value": [{"projectName": 7}]}, "'value[0].projectName' is not a text"),
        ({"value": [{"settings": {"autolabel": []}}]}, "'value[0].settings.autolabel' is not an object"),
        ({"value": [{"displayName": 1}]}, "'value[0].displayName' is not a text"),
        ({"value": [{"multilingual": 1}]}, "'value[0].multilingual' is not true or false"),
        ({"value": [], "nextLink": 7}, "'nextLink' is not a text"),
    ],
)
def test_the_place_of_a_wrong_value_is_named(
    offline: Cli, body: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
):
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    monkeypatch.setattr(session, "Client", partial(Client, transport=transport))
    result = offline("projects", "list", "--json", status=3)
    assert result.json["error"]["code"] == "NoAnswer"
    assert f"answered with status 200, but not as Labelbridge does ({said})." in result.err


def test_errors_inside_of_errors_without_end_are_no_defect():
    error = {"code": "x", "message": "x"}
    deep = '{"details": [' * 2_000 + json.dumps(error) + "]}" * 2_000
    body = f'{{"jobId": "j", "status": "failed", "errors": [{deep}]}}'
    with (
        client(lambda _: httpx.Response(200, content=body)) as made,
        pytest.raises(NotReachable, match="not as Labelbridge does"),
    ):
        made.job("http://x/jobs/j").state()


def client(answer: Any) -> Client:
    """Of a server that gives an answer to each request."""
    return Client("http://x", key="k", transport=httpx.MockTransport(answer))


def endless(items: Any, link: str, name: str) -> Any:
    """Answers with the same or ever new links; `items` for the number of the request."""
    asked = iter(range(10_000_000))

    def answer(_: httpx.Request) -> httpx.Response:
        number = next(asked)
        return httpx.Response(200, json={"value": items(number), name: link.format(number)})

    return answer


@pytest.mark.parametrize("name", ["nextLink", "continuationToken"])
@pytest.mark.parametrize(
    ("items", "link"),
    [
        (lambda _: [{"projectName": "a"}], "http://x/more"),
        (lambda n: [{"projectName": f"{n}"}], "http://x/more"),
        (lambda _: [{"projectName": "a"}], "http://x/more?skip={}"),
        (lambda _: [], "http://x/more?skip={}"),
        (lambda n: [{"projectName": f"{n}"}], "http://x/more?skip={}"),
    ],
    ids=["all the same", "the same link", "the same items", "nothing", "ever more"],
)
def test_a_list_that_does_not_end_is_given_up(
    items: Any, link: str, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checks, "MOST_PAGES", 50)
    monkeypatch.setattr(checks, "MOST_EMPTY", 20)
    with (
        client(endless(items, link, name)) as made,
        pytest.raises(NotReachable, match="the list never ends"),
    ):
        list(made.projects())


async def test_the_asynchronous_client_gives_up_too():
    transport = httpx.MockTransport(endless(lambda _: [{"projectName": "a"}], "http://x/more", "nextLink"))
    async with AsyncClient("http://x", key="k", transport=transport) as made:
        with pytest.raises(NotReachable, match="the list never ends"):
            [project async for project in made.projects()]


def test_a_list_of_equal_pages_with_others_between_ends():
    pages = [[{"projectName": name}] for name in "abab"]
    bodies = [{"value": page, "nextLink": f"http://x/{n}"} for n, page in enumerate(pages)]
    waiting = iter([*bodies, {"value": []}])
    with client(lambda _: httpx.Response(200, json=next(waiting))) as made:
        assert [project["projectName"] for project in made.projects()] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("complete", [True, False])
def test_progress_that_is_never_counted_is_given_up(complete: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "MOST_EMPTY", 20)
    body = {"value": [], "complete": complete, "continuationToken": "t"}
    with (
        client(lambda _: httpx.Response(200, json=body)) as made,
        pytest.raises(NotReachable, match="the list never ends"),
    ):
        made.project("p").progress()


def test_progress_begins_again_when_the_server_has_counted_more():
    """The first page comes again, and is no list that does not end."""
    first = {"value": [{"person": "Ana", "day": "2026-11-30"}], "complete": True, "continuationToken": "t"}
    last = {"value": [{"person": "Ben", "day": "2026-11-29"}], "complete": True, "continuationToken": None}
    waiting = iter([first, {"value": [], "complete": False}, first, last])
    with client(lambda _: httpx.Response(200, json=next(waiting))) as made:
        assert made.project("p").progress() == [*first["value"], *last["value"]]


def test_progress_that_begins_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "MOST_EMPTY", 20)
    asked = iter(range(1_000))

    def answer(_: httpx.Request) -> httpx.Response:
        number = next(asked)
        value = [{"person": "Ana", "day": f"{number}"}]
        return httpx.Response(
            200, json={"value": value, "complete": number % 2 == 0, "continuationToken": "t"}
        )

    with client(answer) as made, pytest.raises(NotReachable, match="the list never ends"):
        made.project("p").progress()


def part(number: int) -> httpx.Response:
    file = {"assets": {"documents": [{"location": f"{number}"}]}, "nextLink": "http://x/next"}
    return httpx.Response(200, json=file)


@pytest.mark.parametrize("number", [lambda request: 1, lambda request: request.url.params.get("part", 0)])
def test_an_export_that_does_not_end_is_given_up(number: Any, monkeypatch: pytest.MonkeyPatch):
    from labelbridge.client import project_sync

    monkeypatch.setattr(project_sync, "MOST_PARTS", 20)
    with (
        client(lambda request: part(number(request))) as made,
        pytest.raises(NotReachable, match="the export never ends"),
    ):
        made.project("p").export_result("j")


@pytest.mark.parametrize("content", [b"<html>", b"", b"[]", b'{"assets": 7}', b"7", b"[" * 100_000])
def test_what_is_no_project_file_is_not_written(content: bytes):
    with (
        client(lambda _: httpx.Response(200, content=content)) as made,
        pytest.raises(NotReachable, match="it is not a project file"),
    ):
        made.project("p").export_result("j")


def test_a_search_that_does_not_go_on_is_given_up(offline: Cli, monkeypatch: pytest.MonkeyPatch):
    body = {"value": [], "searched": 5, "unread": 0, "total": 9, "continuationToken": "t"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    monkeypatch.setattr(session, "Client", partial(Client, transport=transport))
    assert "its search makes no progress" in offline("documents", "search", "x", status=3).err


def test_dead_letters_that_are_always_sent_again_end(offline: Cli, monkeypatch: pytest.MonkeyPatch):
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"resent": 1} if request.method == "POST" else {"value": [{}, {}]})

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(session, "Client", partial(Client, transport=transport))
    assert offline("dead-letters", "resend", "--all", "--yes", "--json").json == {"resent": 2}


def test_a_job_with_a_status_that_does_not_exist_is_not_waited_for():
    with (
        client(lambda _: httpx.Response(200, json={"jobId": "j", "status": "resting"})) as made,
        pytest.raises(NotReachable, match="'resting' is not a job status"),
    ):
        made.job("http://x/jobs/j").wait()
    with (
        client(lambda _: httpx.Response(200, json={"jobId": "j", "status": "failed"})) as made,
        pytest.raises(JobFailed),
    ):
        made.job("http://x/jobs/j").wait()


@pytest.mark.parametrize(
    "ask",
    [
        lambda project: project.deletion("j"),
        lambda project: project.export_state("j"),
        lambda project: project.cancellation("autolabel", "j"),
    ],
    ids=["deletion", "export", "cancellation"],
)
def test_every_state_of_a_job_has_a_status_that_exists(ask: Callable[[ProjectClient], Any]):
    answers = [
        {"status": "resting"},
        {"status": "running", "result": {"percentComplete": "x"}},
        {"status": "running"},
    ]
    waiting = iter(answers)
    with client(lambda _: httpx.Response(200, json=next(waiting))) as made:
        with pytest.raises(NotReachable, match="'resting' is not a job status"):
            ask(made.project("p"))
        with pytest.raises(NotReachable, match=r"result\.percentComplete"):
            ask(made.project("p"))
        assert ask(made.project("p"))["status"] == "running"
