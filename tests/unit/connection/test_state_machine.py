"""Every pair of state and command, every path through every saga, and what no path can do."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connection.binding import Binding, StudioKind
from shared.connection.state import (
    SAGAS,
    SKIPPABLE,
    BindingStatus,
    Command,
    Connection,
    DisconnectRequest,
    Saga,
    State,
    Step,
    connect,
    disconnect,
    done,
    fail,
    switch,
    sync,
    undo_of,
)
from shared.domain.errors import Conflict, InvalidArgument, LabelbridgeError
from shared.domain.jobs import JobError
from shared.domain.names import Studio

LS, AML = Studio.LANGUAGE_STUDIO, Studio.AZURE_ML
BINDING = Binding(StudioKind.WORKSPACE, "labeling", "news")
COMMAND = Command("job-1", "lead", datetime(2026, 1, 1, tzinfo=UTC))
FAILURE = JobError("ServiceUnavailable", "It does not respond.")
SURE = DisconnectRequest("news", discard=True, unsynced=0)
NEW = Connection("p", "i1")


def run(connection: Connection) -> Connection:
    """The idle connection after every step succeeded."""
    while connection.step is not None:
        connection = done(connection, connection.step)
    return connection


def states() -> dict[str, Connection]:
    """A connection in every possible place: idle, and at every step of every saga."""
    ours = run(connect(NEW, BINDING, COMMAND))
    aml = run(switch(ours, AML, COMMAND))
    starts = [
        connect(NEW, BINDING, COMMAND),
        switch(ours, AML, COMMAND),
        switch(aml, LS, COMMAND),
        sync(aml, COMMAND),
        disconnect(ours, SURE, COMMAND),
        disconnect(aml, SURE, COMMAND),
    ]
    found = {"none": NEW, "connected(LS)": ours, "connected(AML)": aml, "disconnected": run(starts[4])}
    unvisited = list(starts)
    while unvisited:
        connection = unvisited.pop()
        if connection.step is None:
            continue
        key = f"{connection.saga}:{connection.step}:{connection.active}"
        if key not in found:
            found[key] = connection
            unvisited += [done(connection, connection.step), fail(connection, connection.step, FAILURE)]
    return found


ALL = states()
COMMANDS = {
    "connect": lambda c: connect(c, BINDING, COMMAND),
    "switch to AML": lambda c: switch(c, AML, COMMAND),
    "switch to LS": lambda c: switch(c, LS, COMMAND),
    "sync": lambda c: sync(c, COMMAND),
    "disconnect": lambda c: disconnect(c, SURE, COMMAND),
}
LEGAL_WHEN_IDLE = {
    "none": {"connect"},
    "disconnected": {"connect"},
    "connected(LS)": {"switch to AML", "disconnect"},
    "connected(AML)": {"switch to LS", "sync", "disconnect"},
}


def legal(name: str, connection: Connection) -> set[str]:
    if connection.step is None:
        return LEGAL_WHEN_IDLE[name]
    return {"disconnect"} if connection.state in {State.CONNECTED, State.SWITCHING} else set()


def waiting_may_help(connection: Connection, command: str) -> bool:
    """Only then does the refusal say when to try again."""
    if connection.state in {State.CONNECTING, State.SWITCHING, State.DISCONNECTING}:
        return True
    return connection.step is not None and can(run(connection), command)


def can(connection: Connection, command: str) -> bool:
    try:
        COMMANDS[command](connection)
    except LabelbridgeError:
        return False
    return True


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_pair_of_state_and_command(name: str, command: str) -> None:
    connection = ALL[name]
    if command in legal(name, connection):
        assert COMMANDS[command](connection).step is not None
        return
    with pytest.raises(Conflict) as refused:
        COMMANDS[command](connection)
    message = refused.value.message
    assert any(word in message for word in ("You can", "Wait until", "Try"))
    assert (refused.value.retry_after is not None) == waiting_may_help(connection, command)


def test_the_states_are_all_covered() -> None:
    assert {c.state for c in ALL.values()} == set(State)
    reached = {(c.saga, c.step) for c in ALL.values() if c.step}
    assert reached == {(saga, stage.step) for saga, stages in SAGAS.items() for stage in stages}


@pytest.mark.parametrize("name", ALL)
def test_only_the_due_step_can_end(name: str) -> None:
    connection = ALL[name]
    for step in Step:
        if step is not connection.step:
            with pytest.raises(Conflict):
                done(connection, step)
            with pytest.raises(Conflict):
                fail(connection, step, FAILURE)


@pytest.mark.parametrize("name", [n for n, c in ALL.items() if c.step])
def test_every_step_leads_to_an_idle_state_whether_it_succeeds_or_fails(name: str) -> None:
    connection = ALL[name]
    assert connection.step is not None
    assert connection.saga is not None
    failed = fail(connection, connection.step, FAILURE)
    assert run(failed).state in {State.NONE, State.CONNECTED, State.DISCONNECTED}
    undo = undo_of(connection.saga, connection.step)
    if (connection.saga, connection.step) in SKIPPABLE:
        assert FAILURE in failed.warnings
    elif undo is not None:
        assert failed.error == FAILURE
        assert failed.saga is undo[0]
        assert run(failed).error == FAILURE, "the reason is still reported when idle"
    else:
        assert failed.step is connection.step
        assert failed.attempts == connection.attempts + 1


def test_where_a_failed_operation_ends() -> None:
    connecting = connect(NEW, BINDING, COMMAND)
    ours, aml = ALL["connected(LS)"], ALL["connected(AML)"]
    expected = {Saga.CONNECT: (State.NONE, LS), Saga.TO_AML: (State.CONNECTED, LS)}
    expected |= {Saga.TO_LANGUAGE_STUDIO: (State.CONNECTED, AML), Saga.SYNC: (State.CONNECTED, AML)}
    for start in (connecting, switch(ours, AML, COMMAND), switch(aml, LS, COMMAND), sync(aml, COMMAND)):
        at, saga = start, start.saga
        assert saga is not None
        while at.step is not None and at.saga is saga and undo_of(saga, at.step):
            end = run(fail(at, at.step, FAILURE))
            assert (end.state, end.active) == expected[saga]
            at = done(at, at.step)


def test_labels_are_never_open_on_both_sides() -> None:
    """Walk each saga and track where labels can be changed: here, there (rules C3, C4)."""
    for start, here, there in (
        (connect(NEW, BINDING, COMMAND), True, False),
        (switch(ALL["connected(LS)"], AML, COMMAND), True, False),
        (switch(ALL["connected(AML)"], LS, COMMAND), False, True),
    ):
        walk(start, here, there)


def walk(connection: Connection, here: bool, there: bool) -> None:
    assert not (here and there)
    step = connection.step
    if step is None:
        active = connection.active if connection.state is State.CONNECTED else LS
        assert (here, there) == (active is LS, active is AML), connection
        return
    if (failed := fail(connection, step, FAILURE)).saga is not connection.saga:
        # A failed call may have had its effect: both are possible until the undo saga makes it certain.
        for maybe in {there, step is Step.OPEN or there}:
            walk(failed, here, maybe)
    access = {
        Step.LOCK: (False, there),
        Step.UNLOCK: (True, there),
        Step.CREATE: (here, True),
        Step.CLOSE: (here, False),
        Step.WITHDRAW: (here, False),
        Step.RELEASE: (here, False),
        Step.OPEN: (here, True),
    }
    walk(done(connection, step), *access.get(step, (here, there)))


def test_a_disconnect_requires_the_name_and_says_how_many_labels_would_be_lost() -> None:
    aml = ALL["connected(AML)"]
    with pytest.raises(InvalidArgument, match=r"permanent.*'news'.*7 documents") as wrong:
        disconnect(aml, DisconnectRequest("News", discard=True, unsynced=7), COMMAND)
    assert wrong.value.target == "confirm"
    for unsynced in (0, 7, None):
        with pytest.raises(Conflict) as lossy:
            disconnect(aml, DisconnectRequest("news", discard=False, unsynced=unsynced), COMMAND)
        assert lossy.value.target == "discardUnsyncedLabels"
    assert (
        disconnect(ALL["connected(LS)"], DisconnectRequest("news", discard=False, unsynced=0), COMMAND).step
        is Step.TOMBSTONE
    )
    with pytest.raises(Conflict, match="3 documents"):
        disconnect(ALL["connected(LS)"], DisconnectRequest("news", discard=False, unsynced=3), COMMAND)


def test_a_disconnect_supersedes_a_running_operation() -> None:
    switching = switch(ALL["connected(LS)"], AML, COMMAND)
    leaving = disconnect(switching, SURE, replace(COMMAND, job_id="job-2"))
    assert (leaving.superseded, leaving.job_id) == (("job-1",), "job-2")


EVENTS = st.sampled_from([*COMMANDS, "done", "fail"])


@given(st.lists(EVENTS, max_size=60))
def test_no_sequence_of_events_removes_a_tombstone(events: list[str]) -> None:
    """For one labeling project: bound before tombstoned, then tombstoned permanently."""
    connection, tombstoned = NEW, set[str]()
    for event in events:
        before = connection
        try:
            if event in {"done", "fail"}:
                assert before.step is not None or connection.step is None
                if connection.step is None:
                    continue
                step = connection.step
                connection = done(connection, step) if event == "done" else fail(connection, step, FAILURE)
            elif event == "connect":
                connection = connect(connection, replace(BINDING, name=f"n{connection.sequence}"), COMMAND)
            elif event == "disconnect":
                name = connection.binding.name if connection.binding else ""
                connection = disconnect(connection, replace(SURE, confirm=name), COMMAND)
            else:
                connection = COMMANDS[event](connection)
        except LabelbridgeError:
            assert connection is before
            continue
        if before.binding and before.binding_status is BindingStatus.TOMBSTONED:
            tombstoned.add(before.binding.key)
        if connection.binding and connection.binding.key in tombstoned:
            assert connection.binding_status is BindingStatus.TOMBSTONED
        if connection.state in {State.NONE, State.DISCONNECTED}:
            assert not connection.bound
