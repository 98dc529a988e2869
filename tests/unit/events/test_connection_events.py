"""The events of a connection: its states, in the transaction of each transition."""

import pytest

from shared.connection.binding import Binding, StudioKind
from shared.domain.names import Studio
from shared.events.delivery import STALE
from shared.storage.rows import key_range, outbox_key
from tests.support.receivers import Collector, report_to, webhook_settings
from tests.support.services import App, Clock, in_process
from tests.support.storage.memory import MemoryStorage

AML = "news"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app(clock: Clock) -> App:
    storage = MemoryStorage(clock=clock)
    made = in_process(storage, clock, **webhook_settings())
    await storage.blobs.create_container("labeling")
    report_to(made, Collector())
    await made.create(on_upload=False)
    await made.define("Refund", "Login")
    await made.drain()
    return made


async def connect(app: App) -> None:
    binding = Binding(StudioKind.WORKSPACE, "labeling", AML)
    await app.container.connection.connect("p", binding, "lead", "connect")


async def test_each_state_is_reported(app: App) -> None:
    receiver = Collector()
    report_to(app, receiver)
    await connect(app)
    await app.drain()
    await app.container.connection.switch("p", Studio.AZURE_ML, "lead", "switch")
    await app.drain()

    events = sorted(receiver.of("ConnectionChanged"), key=lambda event: event.time)
    assert [event.data["state"] for event in events] == ["connecting", "connected", "switching", "connected"]
    assert [event.data["previousState"] for event in events] == [
        "none",
        "connecting",
        "connected",
        "switching",
    ]
    assert events[-1].data["activeStudio"] == "azureMachineLearning"
    assert {event.data["amlProjectName"] for event in events} == {AML}
    assert {event.data["errorCode"] for event in events} == {None}
    assert receiver.repeats == 0
    jobs = {event.data["jobId"] for event in receiver.of("JobFinished") if event.data["kind"] == "connection"}
    assert jobs == {"connect", "switch"}


async def test_a_lost_message_is_sent_by_the_sweep(app: App, clock: Clock) -> None:
    receiver = Collector()
    report_to(app, receiver)
    await connect(app)
    app.sent.waiting.clear()
    clock.move(STALE.total_seconds() + 1)
    await app.container.events.sweep()
    await app.drain()
    assert "connecting" in {event.data["state"] for event in receiver.of("ConnectionChanged")}
    low, high = key_range(outbox_key())
    assert await app.container.stores.table.query("connections", low, high) == []
