"""Delivery: attempts with pauses, receivers that are independent of each other, dead letters."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.errors import InvalidArgument, NotFound
from shared.events.delivery import MAX_ATTEMPTS, PAUSES, STALE
from shared.storage.outbox import DeadLetters, EventMessage, parse_event
from shared.storage.rows import INDEX, key_range, outbox_key
from shared.wire.events import Event
from tests.support.receivers import Collector, report_to, webhook_settings
from tests.support.services import App, Clock, in_process
from tests.support.storage.memory import MemoryStorage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app(clock: Clock) -> App:
    """One labeled document, whose event waits."""
    made = in_process(MemoryStorage(clock=clock), clock, **webhook_settings())
    report_to(made)
    await made.create(on_upload=False)
    await made.upload({"a.txt": "text"})
    await made.drain()
    await made.label("a.txt", "Refund")
    return made


async def attempts(app: App, clock: Clock, times: int) -> list[int]:
    """Deliver the message that waits, and each that comes of it when it is due; the delays of those."""
    delays: list[int] = []
    for _ in range(times):
        if not app.sent.waiting:
            break
        queue, body = app.sent.waiting.popleft()
        assert queue == "events"
        before = clock.now
        await app.container.events.run(parse_event(body))
        if app.sent.waiting:
            message = parse_event(app.sent.waiting[0][1])
            row = await app.container.stores.outbox.find(message.partition, message.id)
            assert row is not None
            delays.append(round((row.due - before).total_seconds()))
            clock.move(delays[-1])
    return delays


async def waiting(app: App) -> int:
    incarnation = (await app.container.projects.get("p")).incarnation
    table, (low, high) = app.container.stores.table, key_range(outbox_key())
    return len(await table.query(incarnation, low, high)) + len(await table.query(INDEX, low, high))


async def test_an_event_is_tried_ten_times_with_longer_and_longer_pauses(app: App, clock: Clock) -> None:
    receiver = Collector(refuses=lambda event: True)
    report_to(app, receiver)
    assert await attempts(app, clock, 20) == list(PAUSES)
    assert receiver.asked == MAX_ATTEMPTS == 10
    assert await waiting(app) == 0
    [letter] = await app.container.events.dead_letters("", 10)
    assert (letter.receiver, letter.attempts) == ("hook", 10)
    assert letter.reason == "The receiver answered 500."
    assert letter.event.type == "Labelbridge.LabelsSaved"


async def test_a_receiver_that_is_back_gets_the_event(app: App, clock: Clock) -> None:
    receiver = Collector()
    receiver.refuses = lambda event: receiver.asked < 4
    report_to(app, receiver)
    assert await attempts(app, clock, 20) == list(PAUSES[:3])
    assert len(receiver.of("LabelsSaved")) == 1
    assert await waiting(app) == 0
    assert await app.container.events.dead_letters("", 10) == []


async def test_a_receiver_that_fails_costs_the_others_nothing(app: App, clock: Clock) -> None:
    well, ill = Collector("well"), Collector("ill", refuses=lambda event: True)
    report_to(app, well, ill)
    await attempts(app, clock, 20)
    assert (well.asked, ill.asked) == (1, MAX_ATTEMPTS)
    assert len(await app.container.events.dead_letters("", 10)) == 1


async def test_an_unforeseen_error_of_a_receiver_is_its_own(
    app: App, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(event: Event) -> bool:
        raise UnicodeEncodeError("idna", "a..b", 2, 3, "label empty")

    well, ill = Collector("well"), Collector("ill", refuses=fails)
    report_to(app, well, ill)
    await attempts(app, clock, 20)
    assert (well.asked, ill.asked) == (1, MAX_ATTEMPTS)
    [letter] = await app.container.events.dead_letters("", 10)
    assert (letter.receiver, letter.reason) == ("ill", "UnicodeEncodeError")
    assert sum(bool(record.exc_info) for record in caplog.records) == 1, "the stack with the last attempt"


async def test_an_attempt_goes_on_after_the_events_that_the_receiver_has(clock: Clock) -> None:
    """The end of an autolabel job is a row with two events."""
    app, receiver = in_process(MemoryStorage(clock=clock), clock, **webhook_settings()), Collector()
    report_to(app, receiver)
    await app.create(on_upload=False)
    await app.define("Refund", "Login")
    await app.upload({"a.txt": "@Refund:80"})
    await app.drain()
    receiver.got.clear()
    receiver.refuses = lambda event: event.type == "Labelbridge.SuggestionsReady" and receiver.asked < 20
    receiver.asked = 0
    await app.autolabel()
    await app.drain()  # nothing is sent before it is due
    for pause in PAUSES[:3]:
        clock.move(pause + STALE.total_seconds() + 1)
        await app.container.events.sweep()
        await app.drain()
    jobs = [event for event in receiver.of("JobFinished") if event.data["kind"] == "autolabel"]
    assert len(jobs) == 1
    receiver.refuses = lambda event: False
    clock.move(PAUSES[4] + STALE.total_seconds())
    await app.container.events.sweep()
    await app.drain()
    assert len(receiver.of("SuggestionsReady")) == 1
    assert receiver.repeats == 0


async def test_a_message_that_comes_twice_is_one_attempt(app: App, clock: Clock) -> None:
    receiver = Collector(refuses=lambda event: True)
    report_to(app, receiver)
    _, body = app.sent.waiting.popleft()
    for _ in range(3):
        await app.container.events.run(parse_event(body))
    assert receiver.asked == 1
    assert len(app.sent.waiting) == 1


async def test_a_message_of_a_row_that_is_gone_does_nothing(app: App) -> None:
    receiver = Collector()
    report_to(app, receiver)
    await app.container.events.run(EventMessage(table="projects", partition="gone", id="gone"))
    await app.container.events.run(EventMessage(table="connections", partition="connections", id="gone"))
    assert receiver.asked == 0


async def test_an_event_for_a_receiver_that_was_removed_is_dropped(app: App, clock: Clock) -> None:
    report_to(app, Collector(refuses=lambda event: True))
    await attempts(app, clock, 2)
    other = Collector("other")
    report_to(app, other)
    await attempts(app, clock, 2)
    assert (other.asked, await waiting(app)) == (0, 0)


async def dead(app: App, clock: Clock) -> Collector:
    """One dead letter; then the receiver takes everything."""
    receiver = Collector(refuses=lambda event: True)
    report_to(app, receiver)
    await attempts(app, clock, 20)
    receiver.refuses = lambda event: False
    return receiver


@pytest.mark.parametrize("named", [True, False])
async def test_a_dead_letter_can_be_sent_again(app: App, clock: Clock, *, named: bool) -> None:
    receiver, other = await dead(app, clock), Collector("other")
    report_to(app, receiver, other)
    [letter] = await app.container.events.dead_letters("", 10)
    assert await app.container.events.resend([letter.id] if named else None, 100) == 1
    await attempts(app, clock, 5)
    assert receiver.got == [letter.event], "with the same id"
    assert other.asked == 0
    assert await app.container.events.dead_letters("", 10) == []
    assert await waiting(app) == 0
    assert await app.container.events.resend(None, 100) == 0


async def test_a_dead_letter_that_fails_again_is_dead_again(app: App, clock: Clock) -> None:
    receiver = await dead(app, clock)
    receiver.refuses = lambda event: True
    assert await app.container.events.resend(None, 100) == 1
    assert await attempts(app, clock, 20) == list(PAUSES)
    [letter] = await app.container.events.dead_letters("", 10)
    assert letter.attempts == 10


async def test_what_cannot_be_sent_again_is_refused(app: App, clock: Clock) -> None:
    await dead(app, clock)
    [letter] = await app.container.events.dead_letters("", 10)
    with pytest.raises(NotFound, match="'other' does not exist"):
        await app.container.events.resend(["other"], 100)
    report_to(app, Collector("other"))
    with pytest.raises(InvalidArgument, match="'hook' is no longer configured"):
        await app.container.events.resend([letter.id], 100)
    assert await app.container.events.resend(None, 100) == 0
    assert len(await app.container.events.dead_letters("", 10)) == 1


async def test_dead_letters_are_bounded_by_age_and_number(
    app: App, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dead(app, clock)
    [letter] = await app.container.events.dead_letters("", 10)
    stores = app.container.stores
    letters = DeadLetters(stores.table, stores.outbox)
    await letters.add([replace(letter, id=f"l{n}", at=letter.at + timedelta(hours=n)) for n in range(5)])
    monkeypatch.setattr(DeadLetters, "MOST", 4)
    await app.container.events.sweep(everything=True)
    assert [letter.id for letter in await letters.list("", 10)] == ["l1", "l2", "l3", "l4"]
    clock.move(timedelta(days=30, hours=2, minutes=30).total_seconds())
    await app.container.events.sweep(everything=True)
    assert [letter.id for letter in await letters.list("", 10)] == ["l3", "l4"]
    assert [letter.id for letter in await letters.list("l3", 10)] == ["l4"]
