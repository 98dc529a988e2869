"""Dead letters: the commands and the client against a host with the receiver."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labelbridge.client import ApiError, AsyncClient, Client
from shared.domain.names import EventType
from shared.storage.outbox import DeadLetter, DeadLetters, Outbox
from shared.wire.events import Event
from tests.cli.terminal import Cli
from tests.cli.test_commands import run
from tests.fakes.server import serve
from tests.support.api import unique
from tests.support.azurite import Azurite
from tests.support.hosts import KEY, running_host
from tests.support.receivers import Posted, webhook_settings
from tests.support.waiting import eventually

AT = datetime(2026, 11, 29, 8, tzinfo=UTC)


def letter(number: int, receiver: str) -> DeadLetter:
    event = Event(f"event{number}", EventType.MODEL_TRAINED, "mails", "models/m", AT, {"modelLabel": "m"})
    return DeadLetter(f"letter-{number:03}", receiver, event, 10, "The receiver answered 500.", AT)


async def test_they_are_listed_and_sent_again(azurite: Azurite, tmp_path: Path) -> None:
    posted, prefix = Posted(), unique("d").replace("-", "")[:12]
    async with serve(posted.app()) as url, azurite.storage(prefix) as clients:
        table = clients.table("projects")
        letters = [letter(number, "hook") for number in range(102)]
        await DeadLetters(table, Outbox(table)).add([*letters, letter(999, "former")])
        settings = {name.upper(): value for name, value in webhook_settings(f"{url}/hook").items()}
        with running_host(azurite, prefix, tmp_path, settings) as host:
            cli = Cli(host.url, KEY, azurite.connection_string, tmp_path).signed_in()
            listed = (await run(cli, "dead-letters", "list", "--json")).json
            assert [entry["id"] for entry in listed] == [*(letter.id for letter in letters), "letter-999"]
            shown = (await run(cli, "dead-letters", "list")).out
            assert "Labelbridge.ModelTrained" in shown
            assert "The receiver answered 500." in shown

            await run(cli, "dead-letters", "resend", status=2)
            await run(cli, "dead-letters", "resend", "letter-000", "--all", status=2)
            refused = await run(cli, "dead-letters", "resend", "letter-999", status=7)
            assert "'former' is no longer configured" in refused.err
            await run(cli, "dead-letters", "resend", "nothing", status=5)
            await run(cli, "dead-letters", "resend", "--all", status=8)

            resent = await run(cli, "dead-letters", "resend", "letter-000", "letter-000", "--json")
            assert resent.json == {"resent": 1}
            rest = await run(cli, "dead-letters", "resend", "--all", "--yes")
            assert rest.out == "101 events will be sent again.\n"
            none = await run(cli, "dead-letters", "resend", "--all", "--yes", "--json")
            assert none.json == {"resent": 0}

            async def received() -> bool:
                got = {json.loads(body)["id"] for _, body in posted.requests}
                return got == {letter.event.id for letter in letters}

            await eventually("every event arrives", received)
            async with AsyncClient(host.url, key=KEY) as client:
                assert [dead_letter["id"] async for dead_letter in client.dead_letters()] == ["letter-999"]
                assert await client.resend_dead_letters() == 0
            with Client(host.url, key="writer", pauses=()) as client, pytest.raises(ApiError) as error:
                list(client.dead_letters())
            assert error.value.status == 403
