"""The event forwarder, against a target that the test controls."""

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
    """A fake host: lists functions, keeps what was posted, answers as the test says."""

    def __init__(self, *functions: str) -> None:
        self.functions = functions
        self.container = "%DOCUMENTS%"
        self.key: str | None = None
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
        if self.headers.get("x-functions-key") != self.server.key:
            self.answer(401)
            return
        blob = {"type": "blobTrigger", "path": f"{self.server.container}/{{name}}"}
        functions = [
            {
                "name": name,
                "config": {"bindings": [{"type": "eventGridTrigger"} if "event" in name else blob]},
            }
            for name in self.server.functions
        ]
        self.answer(200, json.dumps(functions).encode())

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.status(events[0]["subject"].rpartition("/")[2])
        with self.server.lock:
            self.server.posts.append((self.path, dict(self.headers), events))
        self.answer(status)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionResetError):  # a killed forwarder
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
    """Starts a forwarder that watches only the containers of this test."""
    running: list[Program] = []

    def start(documents: str, *options: str, to: Target = target) -> Program:
        # Containers of other tests are left out by name: every test's containers have a prefix of their own.
        others = [c.name for c in storage.blobs.list_containers() if not c.name.startswith(documents)]
        excluded = [part for name in others for part in ("--exclude", name)]
        arguments = ["events", "--azurite-port", str(storage.port), "--target", to.address]
        arguments += ["--data-dir", str(tmp_path / "data")]
        arguments += ["--interval", "0.1", "--retry-scale", "0.001", *excluded, *options]
        settings = {"DOCUMENTS": documents}
        running.append(Program(arguments, tmp_path / f"output{len(running)}", settings).start())
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


def test_subscriptions_are_disjoint_and_excluded_containers_left_out(storage, target, watch, documents):
    other = storage.container(f"{documents.container_name}-other")
    own = storage.container(f"{documents.container_name}-own")
    other.upload_blob("other.txt", b"1")
    own.upload_blob("own.txt", b"1")
    documents.upload_blob("document.txt", b"1")
    watch(documents.container_name, "--exclude", f"{documents.container_name}-own")
    until(lambda: len(target.events()) == 2)
    assert (target.subjects(BLOBS), target.subjects(EVENTS)) == (["document.txt"], ["other.txt"])


def test_events_without_a_function_are_not_posted(storage, watch, documents):
    other = storage.container(f"{documents.container_name}-other")
    other.upload_blob("other.txt", b"1")
    with serving("document_uploaded") as target:
        watch(documents.container_name, to=target)
        documents.upload_blob("document.txt", b"1")
        until(lambda: target.subjects() == ["document.txt"])


def test_every_trigger_gets_its_events_and_event_functions_can_be_chosen(storage, watch, documents):
    other = storage.container(f"{documents.container_name}-other")
    documents.upload_blob("document.txt", b"1")
    other.upload_blob("other.txt", b"1")
    with serving("document_uploaded", "document_read", "storage_event", "cloud_event") as target:
        watch(documents.container_name, "--event-function", "storage_event", to=target)
        until(lambda: len(target.events()) == 3)
        assert target.subjects("document_uploaded") == target.subjects("document_read") == ["document.txt"]
        assert target.subjects("storage_event") == ["other.txt"]


def test_key_is_sent_and_a_wrong_one_ends_the_forwarder(target, watch, documents):
    target.key = "the key"
    documents.upload_blob("document.txt", b"1")
    refused = watch(documents.container_name)
    assert refused.end() == 1
    assert "/admin/functions answers 401: give the host's master key with --key" in refused.stderr
    watch(documents.container_name, "--key", "the key")
    until(lambda: target.subjects(BLOBS) == ["document.txt"])
    assert target.posts[0][1]["x-functions-key"] == "the key"


def test_waiting_for_the_host_is_logged_once(target, watch, documents):
    closed = Target()
    closed.server_close()
    program = watch(documents.container_name, to=closed)
    until(lambda: program.stderr)
    assert program.stderr.count("events: waiting for ") == 1


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
    # A second scan changes nothing: what was dropped stays dropped.
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
    assert third.names("c") == {"a": "2", "e": "1"}
    assert path.read_text().count("\n") == 2
    third.close()
