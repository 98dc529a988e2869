"""Event Grid's webhooks, and the blob trigger behind one of them."""

import base64
import json
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.devhost.support import KEYS, unique, until

EVENTS = f"/runtime/webhooks/EventGrid?code={KEYS['eventgrid_extension']}&functionName="
BLOBS = f"/runtime/webhooks/blobs?code={KEYS['blobs_extension']}&functionName=Host.Functions."


def post(host, path, payload, kind="Notification"):
    return host.request("POST", path, json.dumps(payload).encode(), {"aeg-event-type": kind} if kind else {})


def event(**data):
    return {
        "id": unique("event"),
        "topic": "/subscriptions/1",
        "subject": "/blobServices/default/containers/c/blobs/b",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-01-02T03:04:05.6789012Z",
        "dataVersion": "",
        "data": data,
    }


def blob_event(storage, container, name):
    url = f"http://127.0.0.1:{storage.port}/devstoreaccount1/{container}/{quote(name)}"
    return event(url=url, eTag="0x1", blobType="BlockBlob")


@pytest.mark.parametrize("path", [f"{EVENTS}storage_event", f"{BLOBS}document_uploaded"])
def test_handshakes(host, path):
    data = {"validationCode": "512d38b6", "validationUrl": "https://example.invalid/"}
    for payload in ([{"data": data}], {"data": json.dumps(data)}, {"data": data}):
        answer = post(host, path, payload, "SubscriptionValidation")
        assert (answer.status, answer.json) == (200, {"validationResponse": "512d38b6"})
    assert post(host, path, [{}], "SubscriptionValidation").status == 500


@pytest.mark.parametrize("origin", ["eventgrid.azure.net", "evil.example"])
def test_handshake_of_cloud_events(host, origin):
    answer = host.request("OPTIONS", f"{EVENTS}cloud_event", headers={"WebHook-Request-Origin": origin})
    assert (answer.status, answer.header("WebHook-Allowed-Origin")) == (200, ["eventgrid.azure.net"])


def test_each_event_of_a_notification_is_an_invocation(host):
    events = [event(number=1), event(number=2)]
    assert post(host, f"{EVENTS}storage_event", events).status == 202
    for sent in events:
        (seen,) = host.traces("storage_event", id=sent["id"])
        assert (seen["data"], seen["type"], seen["topic"]) == (sent["data"], sent["eventType"], sent["topic"])


def test_one_failure_fails_the_whole_notification(host):
    events = [event(), event(fail=True), event()]
    assert post(host, f"{EVENTS}storage_event", events).status == 500
    assert all(host.traces("storage_event", id=sent["id"]) for sent in events)


def test_cloud_event_arrives(host):
    sent = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "subject": unique("s"),
        "data": {"a": 1},
    }
    assert post(host, f"{EVENTS}cloud_event", sent).status == 202
    (seen,) = host.traces("cloud_event", subject=sent["subject"])
    assert (seen["source"], seen["type"], seen["data"]) == ("/s", "t", {"a": 1})


@pytest.mark.parametrize(
    ("kind", "payload", "status"),
    [
        ("Unsubscribe", [], 202),
        (None, [], 400),
        ("Other", [], 400),
        ("Notification", [], 202),
        ("Notification", 5, 500),
        ("Notification", [5], 500),
    ],
)
def test_other_messages(host, kind, payload, status):
    assert post(host, f"{EVENTS}storage_event", payload, kind).status == status


def test_unknown_function_and_broken_json(host):
    assert post(host, f"{EVENTS}nobody", [event()]).status == 404
    assert post(host, f"{EVENTS}STORAGE_EVENT", [event()]).status == 404
    headers = {"aeg-event-type": "Notification"}
    assert host.request("POST", f"{EVENTS}storage_event", b"{", headers).status == 500


@pytest.fixture
def documents(host, storage):
    return storage.container(host.environment["DOCUMENTS_CONTAINER"])


def test_blob_trigger_binds_a_client(host, storage, documents):
    name = f"folder/{unique('ü #?%20')}.txt"
    documents.upload_blob(name, b"content")
    sent = blob_event(storage, documents.container_name, name)
    assert post(host, f"{BLOBS}document_uploaded", [sent]).status == 202
    (seen,) = until(lambda: host.traces("document_uploaded", name=name))
    assert (seen["container"], seen["size"]) == (documents.container_name, 7)


def test_blob_trigger_binds_a_stream(host, storage, documents):
    name = unique("read")
    documents.upload_blob(name, "größer".encode())
    sent = blob_event(storage, documents.container_name, name)
    assert post(host, f"{BLOBS}document_read", [sent]).status == 202
    (seen,) = until(lambda: host.traces("document_read", name=f"{documents.container_name}/{name}"))
    assert (seen["content"], seen["length"]) == ("größer", 8)
    assert seen["uri"].endswith(f"/{documents.container_name}/{name}")


def test_duplicate_events_run_again_on_the_latest_content(host, storage, documents):
    name = unique("again")
    documents.upload_blob(name, b"1")
    sent = blob_event(storage, documents.container_name, name)
    post(host, f"{BLOBS}document_uploaded", [sent])
    until(lambda: host.traces("document_uploaded", name=name))
    documents.upload_blob(name, b"22", overwrite=True)
    post(host, f"{BLOBS}document_uploaded", [sent])
    until(lambda: host.traces("document_uploaded", name=name, size=2))


def test_blob_that_fails_five_times_is_poison(host, storage, documents):
    name = unique("fail")
    documents.upload_blob(name, b"x")
    post(host, f"{BLOBS}document_uploaded", [blob_event(storage, documents.container_name, name)])

    def poison():
        if not storage.exists("webjobs-blobtrigger-poison"):
            return []
        found = []
        for text in storage.visible("webjobs-blobtrigger-poison"):
            with suppress(
                ValueError
            ):  # the queue belongs to the account: other tests leave all kinds of text in it
                found.append(json.loads(base64.b64decode(text)))
        return [message for message in found if message.get("BlobName") == name]

    (message,) = until(poison)
    assert len(host.traces("document_uploaded", name=name)) == 5
    assert message == {
        "Type": "BlobTrigger",
        "FunctionId": "Host.Functions.document_uploaded",
        "BlobType": "BlockBlob",
        "ContainerName": documents.container_name,
        "BlobName": name,
        "ETag": '"0x1"',
    }


def test_missing_blob_and_unknown_function_are_dropped(host, storage, documents):
    queue = f"azure-webjobs-blobtrigger-{host.environment['AzureFunctionsWebHost__hostid']}"
    gone = blob_event(storage, documents.container_name, unique("gone"))
    assert post(host, f"{BLOBS}document_uploaded", [gone]).status == 202
    assert post(host, f"{BLOBS}nobody", [gone]).status == 202
    until(lambda: storage.count(queue) == 0)
    assert not host.traces("document_uploaded", name=gone["data"]["url"].rpartition("/")[2])


@pytest.mark.parametrize("data", [{}, {"url": "http://h/c/b"}, {"url": "c/b", "blobType": "b"}])
def test_blob_event_without_what_it_needs(host, data):
    assert post(host, f"{BLOBS}document_uploaded", [event(**data)]).status == 500
