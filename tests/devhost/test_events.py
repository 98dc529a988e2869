"""The forwarder that plays Event Grid, against a target that the test controls."""

import json
import signal
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from devhost.acknowledged import GONE, Acknowledged
from devhost.settings import HostError
from tests.devhost.support import Program, unique, until

BLOBS = "/runtime/webhooks/blobs?functionName=Host.Functions.document_uploaded"
EVENTS = "/runtime/webhooks/EventGrid?functionName=storage_event"


class Target(ThreadingHTTPServer):
    """Stands for the host: knows its functions, keeps what was posted, answers what it is told to."""

    def __init__(self, *functions: str) -> None:
        self.functions = functions
        self.posts: list[tuple[str, dict, list[dict]]] = []
        self.status = lambda subject: 202
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def events(self, path: str = "") -> list[dict]:
        with self.lock:
            return [event for where, _, events in self.posts if path in where for event in events]

    def subjects(self, path: str = "") -> list[str]:
        return [event["subject"].rpartition("/")[2] for event in self.events(path)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Target

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200, json.dumps([{"name": name} for name in self.server.functions]).encode())

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.status(events[0]["subject"].rpartition("/")[2])
        with self.server.lock:
            self.server.posts.append((self.path, dict(self.headers), events))
        self.answer(status)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionResetError):  # a killed forwarder says no goodbye
            super().handle()


@contextmanager
def serving(*functions: str):
    with Target(*functions) as target:
        thread = threading.Thread(target=target.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield target
        finally:
            target.shutdown()
            thread.join()


@pytest.fixture
def target():
    with serving("document_uploaded", "storage_event") as running:
        yield running


@pytest.fixture
def watch(storage, tmp_path, target):
    """Starts a forwarder that looks only at containers of this test."""
    running: list[Program] = []

    def start(documents: str, *options: str, to: Target = target) -> Program:
        # Containers of other tests are left out by name: every test's containers have a prefix of their own.
        others = [c.name for c in storage.blobs.list_containers() if not c.name.startswith(documents)]
        excluded = [part for name in others for part in ("--exclude", name)] or ["--exclude", "$"]
        arguments = ["events", "--azurite-port", str(storage.port), "--target", to.address]
        arguments += ["--data-dir", str(tmp_path / "data"), "--documents-container", documents]
        arguments += ["--interval", "0.1", "--retry-scale", "0.001", *excluded, *options]
        running.append(Program(arguments, tmp_path / f"output{len(running)}").start())
        return running[-1]

    yield start
    for program in running:
        if program.process.poll() is None:
            assert program.stop() == 0


@pytest.fixture
def documents(storage):
    return storage.container(unique("docs"))


def test_blobs_and_deletions_become_events(storage, target, watch, documents):
    documents.upload_blob("before.txt", b"12345")
    watch(documents.container_name)
    until(lambda: target.subjects(BLOBS) == ["before.txt"])
    etag = documents.upload_blob("a b/ü #1.txt", b"1", overwrite=True).get_blob_properties().etag
    until(lambda: len(target.events(BLOBS)) == 2)
    created = target.events(BLOBS)[1]
    url = (
        f"http://127.0.0.1:{storage.port}/devstoreaccount1/{documents.container_name}/a%20b/%C3%BC%20%231.txt"
    )
    assert created["topic"].endswith("/providers/Microsoft.Storage/storageAccounts/devstoreaccount1")
    assert (
        created["subject"]
        == f"/blobServices/default/containers/{documents.container_name}/blobs/a b/ü #1.txt"
    )
    assert created["eventType"] == "Microsoft.Storage.BlobCreated"
    assert {"id", "eventTime", "dataVersion", "metadataVersion"} < created.keys()
    data = created["data"]
    assert data["url"] == url
    assert (data["eTag"], data["contentLength"], data["blobType"]) == (etag.strip('"'), 1, "BlockBlob")
    assert data["contentType"] == "application/octet-stream"
    assert data["sequencer"] > target.events(BLOBS)[0]["data"]["sequencer"]
    _, headers, _ = target.posts[0]
    assert headers["aeg-event-type"] == "Notification"

    documents.delete_blob("before.txt")
    until(lambda: target.events(EVENTS))
    (deleted,) = target.events(EVENTS)
    assert deleted["eventType"] == "Microsoft.Storage.BlobDeleted"
    assert deleted["data"]["api"] == "DeleteBlob"

    documents.upload_blob("before.txt", b"1")
    until(lambda: target.subjects(BLOBS).count("before.txt") == 2)
    documents.upload_blob("before.txt", b"2", overwrite=True)
    until(lambda: target.subjects(BLOBS).count("before.txt") == 3)


def test_subscriptions_are_disjoint_and_the_apps_own_containers_left_out(storage, target, watch, documents):
    other = storage.container(f"{documents.container_name}-other")
    own = storage.container(f"{documents.container_name}-own")
    other.upload_blob("other.txt", b"1")
    own.upload_blob("own.txt", b"1")
    documents.upload_blob("document.txt", b"1")
    watch(documents.container_name, "--exclude", f"{documents.container_name}-own")
    until(lambda: len(target.events()) == 2)
    assert (target.subjects(BLOBS), target.subjects(EVENTS)) == (["document.txt"], ["other.txt"])


def test_functions_that_the_app_lacks_get_nothing(storage, watch, documents):
    other = storage.container(f"{documents.container_name}-other")
    documents.upload_blob("document.txt", b"1")
    with serving("storage_event") as target:
        watch(documents.container_name, to=target)
        other.upload_blob("other.txt", b"1")
        until(lambda: target.subjects() == ["other.txt"])


def test_cloud_events_in_batches(target, watch, documents):
    for number in range(7):
        documents.upload_blob(f"{number}", b"1")
    watch(documents.container_name, "--cloud-events", "--max-events-per-batch", "5", "--topic", "/t")
    until(lambda: len(target.events()) == 7)
    assert sorted(len(events) for _, _, events in target.posts) == [2, 5]
    assert target.posts[0][1]["content-type"].startswith("application/cloudevents-batch+json")
    assert {(e["specversion"], e["source"], e["type"]) for e in target.events()} == {
        ("1.0", "/t", "Microsoft.Storage.BlobCreated")
    }


def test_what_fails_is_posted_again_and_what_is_refused_is_not(target, watch, documents):
    tries: list[str] = []
    answers = {"later.txt": [500, 503, 404, 202], "refused.txt": [413]}

    def status(name: str) -> int:
        tries.append(name)
        return answers[name].pop(0) if name in answers else 202

    target.status = status
    for name in ("later.txt", "refused.txt"):
        documents.upload_blob(name, b"1")
    watch(documents.container_name)
    until(lambda: not answers["later.txt"])
    documents.upload_blob("last.txt", b"1")
    until(lambda: "last.txt" in tries)
    assert sorted(tries) == ["last.txt", *["later.txt"] * 4, "refused.txt"]
    assert len({event["id"] for event in target.events() if "later" in event["subject"]}) == 1


def test_events_can_be_duplicated(target, watch, documents):
    documents.upload_blob("twice.txt", b"1")
    watch(documents.container_name, "--duplicate", "1")
    until(lambda: target.subjects() == ["twice.txt", "twice.txt"])
    first, second = target.events()
    assert first == second


def test_events_can_be_dropped(target, watch, documents):
    for number in range(40):
        documents.upload_blob(f"{number}", b"1")
    watch(documents.container_name, "--drop", "0.5", "--seed", "1")
    documents.upload_blob("mark", b"1")
    until(lambda: len(target.events()) >= 10)
    # A second look comes to the same: what was dropped stays dropped.
    documents.delete_blob("0")
    documents.delete_blob("1")
    documents.delete_blob("2")
    until(lambda: target.events(EVENTS))
    assert len(target.events(BLOBS)) < 35


def test_events_can_be_delayed_and_reordered(target, watch, documents):
    names = [f"{number:02}" for number in range(30)]
    for name in names:
        documents.upload_blob(name, b"1")
    watch(documents.container_name, "--reorder", "30", "--delay", "0.3", "--concurrency", "1", "--seed", "1")
    until(lambda: len(target.events()) == 30)
    assert target.subjects() != names
    assert sorted(target.subjects()) == names


def test_killed_forwarder_posts_again_what_was_not_acknowledged(target, watch, documents, tmp_path):
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        documents.upload_blob(name, b"1")
    target.status = lambda name: 500 if name >= "10" else 202
    first = watch(documents.container_name)
    # Ten answers are noted, ten were refused.
    notes = tmp_path / "data" / "events.jsonl"
    until(lambda: set(target.subjects()) == set(names) and notes.read_text().count("\n") == 10)
    first.signal(signal.SIGKILL)
    first.end()
    documents.delete_blob("00")
    documents.upload_blob("new", b"1")
    target.status = lambda name: 202
    with target.lock:
        target.posts.clear()
    watch(documents.container_name)
    until(lambda: set(target.subjects(BLOBS)) == {*names[10:], "new"} and target.subjects(EVENTS) == ["00"])
    assert len(target.subjects()) == 12


def test_second_forwarder_on_the_same_folder_is_refused(target, watch, documents):
    documents.upload_blob("a", b"1")
    watch(documents.container_name)
    until(target.events)
    second = watch(documents.container_name)
    assert second.end() == 1
    assert "is in use by another event forwarder" in second.stderr


def test_acknowledgements_survive_a_cut_line(tmp_path):
    path = tmp_path / "events.jsonl"
    first = Acknowledged(path)
    first.add("c", "a", "1")
    first.add("c", "b", "1")
    first.add("c", "a", "2")
    first.add("c", "b", GONE)
    with pytest.raises(HostError):
        Acknowledged(path)
    first.close()
    with path.open("ab") as file:
        file.write(b'["c", "d", "1')
    second = Acknowledged(path)
    second.add("c", "e", "1")
    second.close()
    third = Acknowledged(path)
    assert {name: third.etag("c", name) for name in "abde"} == {"a": "2", "b": GONE, "d": GONE, "e": "1"}
    assert path.read_text().count("\n") == 2
    third.close()
