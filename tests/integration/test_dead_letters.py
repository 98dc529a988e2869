"""Dead letters over HTTP: listed page by page, sent again where the receiver exists, for owners alone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from shared.domain.names import EventType
from shared.storage.gateways.clients import StorageClients
from shared.storage.outbox import DeadLetter, DeadLetters, Outbox
from shared.wire.events import Event, cloud_event
from tests.support.api import client, unique
from tests.support.hosts import Host

PATH = "/language/events/dead-letters"
AT = datetime(2026, 11, 29, 8, tzinfo=UTC)


@pytest.fixture
async def letters(storage: StorageClients) -> AsyncIterator[list[DeadLetter]]:
    """Three, for a receiver that the host does not have."""
    table = storage.table("projects")
    store = DeadLetters(table, Outbox(table))
    made: list[DeadLetter] = []
    for number in range(3):
        event = Event(f"id{number}", EventType.MODEL_TRAINED, "mails", "models/m", AT, {"modelLabel": "m"})
        made.append(DeadLetter(unique(f"l{number}"), "crm", event, 10, "The receiver answered 500.", AT))
    await store.add(made)
    yield made
    for letter in made:
        found = await store.find(letter.id)
        if found is not None:
            await store.resend(found, AT)


async def test_they_are_listed_page_by_page(http: httpx.AsyncClient, letters: list[DeadLetter]) -> None:
    found: list[dict[str, object]] = []
    token: dict[str, str] = {}
    while True:
        answer = await http.get(PATH, params={"top": 2, **token})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["value"]) <= 2
        found += page["value"]
        if "continuationToken" not in page:
            break
        token = {"continuationToken": page["continuationToken"]}
    mine = [letter for letter in found if letter["id"] in {made.id for made in letters}]
    assert mine == [
        {
            "id": letter.id,
            "receiver": "crm",
            "attempts": 10,
            "reason": "The receiver answered 500.",
            "failedDateTime": "2026-11-29T08:00:00.000Z",
            "event": cloud_event(letter.event),
        }
        for letter in letters
    ]


async def test_what_cannot_be_sent_again_says_why(http: httpx.AsyncClient, letters: list[DeadLetter]) -> None:
    resend = f"{PATH}/:resend"
    answer = await http.post(resend, json={"ids": [letters[0].id]})
    assert (answer.status_code, answer.json()["error"]["target"]) == (400, "ids[0]")
    assert "'crm' is no longer configured" in answer.json()["error"]["message"]
    answer = await http.post(resend, json={"ids": ["nothing"]})
    assert answer.status_code == 404
    answer = await http.post(resend, json={})
    assert (answer.status_code, answer.json()) == (200, {"resent": 0})
    for wrong in ({"ids": []}, {"id": "x"}, {"ids": ["x"] * 101}):
        answer = await http.post(resend, json=wrong)
        assert answer.status_code == 400, answer.text
    assert (await http.post(resend)).status_code == 400, "an absent body does not stand for all"
    assert (await http.get(PATH, params={"continuationToken": "a b"})).status_code == 400


async def test_only_owners_see_them(host: Host) -> None:
    async with client(host.url, key="writer") as http:
        assert (await http.get(PATH)).status_code == 403
        assert (await http.post(f"{PATH}/:resend", json={})).status_code == 403
