"""devhost answers what the real host answered. Each line of the recordings is the same or an exception below."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from tests.devhost.replay import Placeholders, differences, exchange, recorded, text_of
from tests.devhost.support import KEYS, ROUTES, running_host, unique, until

#: Why a line may differ. A line that agrees again must leave its list.
HTTP_EXCEPTIONS = {"method HEAD /": "the length is that of Microsoft's home page, 149,794 bytes of HTML"}
WEBHOOK_EXCEPTIONS: dict[str, str] = {}
ROUTE_EXCEPTIONS: dict[str, str] = {}
QUEUE_EXCEPTIONS: dict[str, str] = {}

BLOBS = [
    "plain.txt",
    "plus+sign.txt",
    "a space.txt",
    "per%25cent.txt",
    "ümläut.txt",
    "😀.txt",
    "deep/er/x.txt",
]
BLOBS += ["a#b?c.txt", "UPPER.TXT", "fail.txt"]


def differs_only_as_known(name, found, exceptions, most):
    """Compare the lines that differ with the exceptions, both ways, and print the summary."""
    differing = {line: how for line, how in found.items() if how}
    print(f"{name}: {len(found)} lines, {len(found) - len(differing)} the same, {len(exceptions)} exceptions")  # noqa: T201
    assert {line: how for line, how in differing.items() if line not in exceptions} == {}
    assert sorted(exceptions.keys() - differing.keys()) == []
    assert len(exceptions) <= most


@pytest.fixture(scope="module")
def placeholders(storage):
    """Fills the storage with what the recordings expect."""
    documents = storage.container("docs")
    for name in BLOBS:
        documents.upload_blob(name, b"hello", overwrite=True)
    storage.container("otherc").upload_blob("o.txt", b"hello", overwrite=True)
    return Placeholders(
        {
            **KEYS,
            "EVENTGRID_EXTENSION": KEYS["eventgrid_extension"].upper(),
            "storage": f"http://127.0.0.1:{storage.port}/devstoreaccount1",
            "website_hostname": "replay.example",
        }
    )


def sample_host(storage, folder, **environment):
    settings = {
        "TICK_SCHEDULE": "0 0 4 1 1 *",
        "DOCUMENTS_CONTAINER": "docs",
        "ORDERS_QUEUE": unique("orders"),
        "AzureFunctionsWebHost__hostid": "sample",
        "WEBSITE_HOSTNAME": "replay.example",
    }
    return running_host(storage, folder, settings=settings | environment)


@pytest.fixture(scope="module")
def sample(storage, placeholders, tmp_path_factory):
    with sample_host(storage, tmp_path_factory.mktemp("sample")) as host:
        yield host


@pytest.fixture(scope="module")
def routes(storage, tmp_path_factory):
    with running_host(storage, tmp_path_factory.mktemp("routes"), app=ROUTES) as host:
        yield host


def is_idle(storage, host):
    """Whether the blob trigger's queue is empty: every event was handled."""
    queue = f"azure-webjobs-blobtrigger-{host.environment['AzureFunctionsWebHost__hostid']}"
    return not storage.exists(queue) or storage.count(queue) == 0


def test_http(sample, placeholders):
    def replay(case):
        got = exchange(sample.port, placeholders.request(case["request"]), case["method"])
        return case["name"], differences(case, got, placeholders)

    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(replay, recorded("http")))
    differs_only_as_known("http", found, HTTP_EXCEPTIONS, 28)


def may_end_the_host(case):
    return "left_in_queue" in case


def test_webhooks(storage, sample, placeholders):
    found = {}
    for case in filter(lambda case: not may_end_the_host(case), recorded("webhooks")):
        before = len(sample.lines())
        got = exchange(sample.port, placeholders.request(case["request"]), case["method"])
        until(lambda: len(sample.lines()) >= before + len(case["ran"]) or None)  # noqa: B023 - called at once
        until(lambda: is_idle(storage, sample))
        got["ran"] = sample.lines()[before:]
        if "poison" in case:
            texts = map(base64.b64decode, storage.visible(case["poison"]["queue"]))
            here = [text.decode() for text in texts if json.loads(text)["ContainerName"] == "docs"]
            got["poison"] = {"queue": case["poison"]["queue"], "texts": here}
        found[case["name"]] = differences(case, got, placeholders)
    differs_only_as_known("webhooks", found, WEBHOOK_EXCEPTIONS, 8)


def test_messages_and_events_that_may_end_the_host(storage, sample, placeholders, tmp_path):
    def replay(case, host):
        """The message stays hidden in the queue of a host that ends: each such host has a queue of its own."""
        queue = storage.queue(
            f"azure-webjobs-blobtrigger-{host.environment['AzureFunctionsWebHost__hostid']}"
        )
        before, got = len(host.lines()), {}
        if "request" in case:
            got = exchange(host.port, placeholders.request(case["request"]), case["method"])
        else:
            storage.create(queue.queue_name)
            queue.send_message(case["message"])
        if case.get("down"):
            got["exit_code"] = host.end()
        else:
            until(lambda: is_idle(storage, host))
        hidden = storage.count(queue.queue_name) and not storage.visible(queue.queue_name)
        got |= {"ran": host.lines()[before:], "left_in_queue": "hidden" if hidden else "nothing"}
        return case["name"], differences(case, got, placeholders)

    def replay_alone(case):
        host_id = unique("host")
        with sample_host(storage, tmp_path / host_id, AzureFunctionsWebHost__hostid=host_id) as host:
            return replay(case, host)

    cases = [case for case in recorded("webhooks") if may_end_the_host(case)]
    found = dict(replay(case, sample) for case in cases if not case.get("down"))
    with ThreadPoolExecutor(2) as pool:
        found |= dict(pool.map(replay_alone, (case for case in cases if case.get("down"))))
    differs_only_as_known("webhooks that may end the host", found, {}, 0)


def test_routes(routes):
    def replay(case):
        method, _, path = case["request"].partition(" ")
        request = f"{method} {quote(path, safe='%/?:+;=,-._~*@!$&')} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        got = exchange(routes.port, request.encode(), method)
        seen = got["body"] if isinstance(got["body"], dict) else {}
        named = ("status", "function", "route", "method")
        actual = {"status": got["status"], "body": got["body"], "function": None, **seen}
        names = [name for name in (*named, "body") if name in case]
        return case["request"], {n: (case[n], actual.get(n)) for n in names if case[n] != actual.get(n)}

    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(replay, recorded("routes")))
    differs_only_as_known("routes", found, ROUTE_EXCEPTIONS, 2)


def test_queues(storage, routes):
    found = {}
    cases = {case["name"]: case for case in recorded("queues")}
    triggers = [case for case in cases.values() if case["kind"] == "trigger"]
    queue, poison = storage.queue("raw"), storage.queue("raw-poison")
    queue.create_queue()
    sent = {case["name"]: queue.send_message(text_of(case)) for case in triggers}
    until(lambda: storage.count("raw") == 0)
    poisoned = {message.content: message for message in poison.receive_messages(max_messages=32)}
    for case in triggers:
        message = sent[case["name"]]
        rows = [row for row in routes.lines() if row.get("id") == message.id]
        # The texts may have lost what XML does not keep; the SDK is the same on both sides.
        moved = poisoned.pop(text_of(case), None)
        actual = {
            "sent": True,
            "runs": len(rows),
            "received": [_received(row, case) for row in rows],
            "ends": "poison" if moved else "gone",
        }
        if moved:
            actual["poison"] = {
                "queue": "raw-poison",
                "messages": 1,
                "same_text": True,
                "same_id": moved.id == message.id,
                "dequeue_count_before": moved.dequeue_count - 1,
                "expires_after_days": round((moved.expires_on - moved.inserted_on).total_seconds() / 86_400),
            }
        found[case["name"]] = {n: (case[n], actual.get(n)) for n in actual if case.get(n) != actual.get(n)}
    assert not poisoned
    for case in (case for case in cases.values() if case["kind"] == "output"):
        answer = routes.request("POST", f"/out/{case['name'].removeprefix('output of ')}")
        texts = [message.content for message in storage.queue("sent").receive_messages(max_messages=32)]
        actual = {"status": answer.status, "messages": texts}
        found[case["name"]] = {n: (case[n], value) for n, value in actual.items() if case[n] != value}
    differs_only_as_known("queues", found, QUEUE_EXCEPTIONS, 2)


def _received(row, case):
    body = {"body": row["body"]}
    if "message_of" in case:
        body = {"body": None, "body_same_as_sent": row["body"] == text_of(case)}
    names = ("has_id", "has_insertion_time", "has_expiration_time", "has_next_visible", "has_pop_receipt")
    return body | {name: row[name] for name in ("dequeue_count", *names)} | {"same_id": True}
