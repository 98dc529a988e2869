"""Webhooks are signed and reach no internal address; the topic gets CloudEvents by Microsoft's client."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from azure.core.credentials import AzureKeyCredential

from shared.domain.names import EventType, host_allowed
from shared.events.delivery import NotDelivered
from shared.events.receivers import Topic, Webhook, WebhookOptions, is_internal
from shared.wire.events import Event
from tests.fakes.server import serve
from tests.support.receivers import SECRET, Posted

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EVENT = Event("1-2", EventType.MODEL_TRAINED, "mails", "models/first", NOW, {"modelLabel": "first"})
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "1-2",
    "source": "/language/authoring/analyze-text/projects/mails",
    "type": "Labelbridge.ModelTrained",
    "subject": "models/first",
    "time": "2030-01-01T00:00:00.000Z",
    "datacontenttype": "application/json",
    "data": {"projectName": "mails", "modelLabel": "first"},
}


@pytest.fixture
def posted() -> Posted:
    return Posted()


@pytest.fixture
async def url(posted: Posted) -> AsyncIterator[str]:
    async with serve(posted.app()) as made:
        yield made


def webhook(url: str, *names: str, loopback: bool = True, secrets: tuple[str, ...] = (SECRET,)) -> Webhook:
    """A webhook; `names`: what the name of its host is resolved to."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(names)

    options = WebhookOptions("hook", url, secrets, loopback=loopback)
    return Webhook(options, lambda: NOW, resolve if names else None)


async def send(receiver: Webhook | Topic, event: Event = EVENT) -> None:
    try:
        await receiver.send(event)
    finally:
        await receiver.close()


async def test_a_webhook_gets_a_signed_cloud_event(posted: Posted, url: str) -> None:
    await send(webhook(f"{url}/path?code=1", secrets=(SECRET, "the former one")))
    [(headers, body)] = posted.requests
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert json.loads(body) == CLOUD_EVENT
    time, *signatures = headers["Labelbridge-Signature"].split(",")
    assert time == f"t={int(NOW.timestamp())}"
    signed = f"{int(NOW.timestamp())}.".encode() + body
    assert signatures == [
        f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
        for secret in (SECRET, "the former one")
    ]


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_answer_of_success_is_enough(posted: Posted, url: str, status: int) -> None:
    posted.answer = lambda: web.Response(status=status)
    await send(webhook(url))


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
async def test_any_other_answer_is_a_failure(posted: Posted, url: str, status: int) -> None:
    posted.answer = lambda: web.Response(status=status)
    with pytest.raises(NotDelivered, match=rf"^The receiver answered {status}\.$"):
        await send(webhook(url))


async def test_a_redirect_is_not_followed(posted: Posted, url: str) -> None:
    posted.answer = lambda: web.Response(status=307, headers={"Location": f"{url}/internal"})
    with pytest.raises(NotDelivered, match="redirects are not followed"):
        await send(webhook(url))
    assert len(posted.requests) == 1


async def test_a_receiver_that_is_not_there_is_a_failure() -> None:
    async with serve(web.Application()) as gone:
        pass
    with pytest.raises(NotDelivered, match="cannot be reached"):
        await send(webhook(gone))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "168.63.129.16", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1",
        "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:0a00:0001::1", "2001:db8::1",
        "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.88.99.1", "198.18.0.1", "198.19.255.254", "203.0.113.1",
        "240.0.0.1", "239.255.255.250", "fec0::1", "feff::1", "fdff::1", "ff0e::1", "::ffff:100.64.0.1",
        "::ffff:168.63.129.16", "::ffff:0:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a83f:8110", "64:ff9b:1::a00:1",
        "2002:c0a8:0101::1", "2002:0808:0808::1", "2001::1", "2001:20::1", "3fff::1", "5f00::1", "100::1", "4000::1",
        "::8.8.8.8",
    ],
)  # fmt: skip
async def test_no_internal_address_is_reached(posted: Posted, url: str, address: str) -> None:
    """Neither where the address names it, nor where a name stands for it, beside a public address too."""
    assert is_internal(address)
    port = url.rsplit(":", 1)[1]
    with pytest.raises(NotDelivered, match="internal"):
        await send(webhook(f"http://hook.example.com:{port}/", "8.8.8.8", address, loopback=False))
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(NotDelivered, match="internal"):
        await send(webhook(f"http://{literal}:{port}/", loopback=False))
    assert posted.requests == []


@pytest.mark.parametrize(
    "host",
    [
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "2130706433",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
    ],
)
async def test_no_other_spelling_of_an_internal_address_is_reached(
    posted: Posted, url: str, host: str
) -> None:
    """Full-width digits and dots, one number, and the short, hexadecimal and octal forms that `getaddrinfo` takes."""
    with pytest.raises(NotDelivered):
        await send(webhook(f"http://{host}:{url.rsplit(':', 1)[1]}/", loopback=False))
    assert posted.requests == []


async def test_only_a_receiver_on_this_machine_may_be_named_by_loopback(posted: Posted, url: str) -> None:
    """A name that stands for this machine is no name of it."""
    port = url.rsplit(":", 1)[1]
    with pytest.raises(NotDelivered, match="internal"):
        await send(webhook(f"http://hook.example.com:{port}/", "127.0.0.1"))
    await send(webhook(f"http://localhost:{port}/", "127.0.0.1"))
    assert len(posted.requests) == 1


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_not_internal(address: str) -> None:
    assert not is_internal(address)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("hooks.example.com", True),
        ("HOOKS.example.com.", True),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("badexample.org", False),
        ("hooks.example.com.evil.net", False),
        ("example.com", False),
    ],
)
def test_the_allow_list_names_hosts(host: str, *, allowed: bool) -> None:
    assert host_allowed(host, ["hooks.example.com", "*.example.org"]) is allowed


def test_a_webhook_gets_what_it_asks_for() -> None:
    def wants(**more: Any) -> bool:
        return Webhook(WebhookOptions("hook", "https://x", (SECRET,), **more), lambda: NOW).wants(EVENT)

    assert wants()
    assert wants(types=frozenset({EventType.MODEL_TRAINED}), projects=frozenset({"mails"}))
    assert not wants(types=frozenset({EventType.LABELS_SAVED}))
    assert not wants(projects=frozenset({"orders"}))


async def test_the_topic_gets_cloud_events(posted: Posted, url: str) -> None:
    await send(Topic(f"{url}/api/events", lambda: AzureKeyCredential("key")))
    [(headers, body)] = posted.requests
    assert headers["aeg-sas-key"] == "key"
    assert headers["Content-Type"].startswith("application/cloudevents-batch+json")
    [event] = json.loads(body)
    assert event | {"time": CLOUD_EVENT["time"]} == CLOUD_EVENT
    assert datetime.fromisoformat(event["time"]) == NOW


@pytest.mark.parametrize("status", [400, 401, 413, 429, 503])
async def test_a_topic_that_refuses_is_asked_once_an_attempt(posted: Posted, url: str, status: int) -> None:
    posted.answer = lambda: web.Response(status=status)
    with pytest.raises(NotDelivered, match="Event Grid"):
        await send(Topic(f"{url}/api/events", lambda: AzureKeyCredential("key")))
    assert len(posted.requests) == 1


@pytest.mark.parametrize("status", [301, 303, 307, 308])
async def test_a_redirect_of_the_topic_takes_neither_events_nor_the_key_elsewhere(
    posted: Posted, url: str, status: int
) -> None:
    where = {"Location": f"{url.replace('127.0.0.1', 'localhost')}/elsewhere"}
    posted.answer = lambda: web.Response(status=status, headers=where)
    with pytest.raises(NotDelivered, match=f"answered {status}"):
        await send(Topic(f"{url}/api/events", lambda: AzureKeyCredential("key")))
    assert len(posted.requests) == 1
