"""Every pair of state and command, every way through every course, and what no walk can ever do."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.bond import Bond, StudioKind
from shared.domain.connection import (
    Connection,
    Farewell,
    Holds,
    Order,
    connect,
    disconnect,
    done,
    fail,
    switch,
    sync,
)
from shared.domain.connection_courses import COURSES, SKIPPABLE, Course, State, Step, way_back
from shared.domain.errors import Conflict, InvalidArgument, LabelbridgeError
from shared.domain.jobs import JobError
from shared.domain.kinds import Studio

LS, AML = Studio.LANGUAGE_STUDIO, Studio.AZURE_ML
BOND = Bond(StudioKind.WORKSPACE, "labeling", "news")
ORDER = Order("job-1", "lead", datetime(2026, 1, 1, tzinfo=UTC))
FAULT = JobError("ServiceUnavailable", "It does not answer.")
SURE = Farewell("news", discard=True, unsynced=0)
NEW = Connection("p", "i1")


def run(connection: Connection) -> Connection:
    """The connection at rest after every step worked."""
    while connection.step is not None:
        connection = done(connection, connection.step)
    return connection


def states() -> dict[str, Connection]:
    """One connection in every place where one can be: at rest and at every step of every course."""
    ours = run(connect(NEW, BOND, ORDER))
    aml = run(switch(ours, AML, ORDER))
    starts = [
        connect(NEW, BOND, ORDER),
        switch(ours, AML, ORDER),
        switch(aml, LS, ORDER),
        sync(aml, ORDER),
        disconnect(ours, SURE, ORDER),
        disconnect(aml, SURE, ORDER),
    ]
    found = {"none": NEW, "connected(LS)": ours, "connected(AML)": aml, "disconnected": run(starts[4])}
    todo = list(starts)
    while todo:
        one = todo.pop()
        if one.step is None:
            continue
        key = f"{one.course}:{one.step}:{one.active}"
        if key not in found:
            found[key] = one
            todo += [done(one, one.step), fail(one, one.step, FAULT)]
    return found


ALL = states()
COMMANDS = {
    "connect": lambda c: connect(c, BOND, ORDER),
    "switch to AML": lambda c: switch(c, AML, ORDER),
    "switch to LS": lambda c: switch(c, LS, ORDER),
    "sync": lambda c: sync(c, ORDER),
    "disconnect": lambda c: disconnect(c, SURE, ORDER),
}
LEGAL_AT_REST = {
    "none": {"connect"},
    "disconnected": {"connect"},
    "connected(LS)": {"switch to AML", "disconnect"},
    "connected(AML)": {"switch to LS", "sync", "disconnect"},
}


def legal(name: str, connection: Connection) -> set[str]:
    if connection.step is None:
        return LEGAL_AT_REST[name]
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
    assert any(word in message for word in ("ossible", "wait for it"))
    assert (refused.value.retry_after is not None) == waiting_may_help(connection, command)


def test_the_states_are_all_covered() -> None:
    assert {c.state for c in ALL.values()} == set(State)
    reached = {(c.course, c.step) for c in ALL.values() if c.step}
    assert reached == {(course, stage.step) for course, stages in COURSES.items() for stage in stages}


@pytest.mark.parametrize("name", ALL)
def test_only_the_due_step_can_end(name: str) -> None:
    connection = ALL[name]
    for step in Step:
        if step is not connection.step:
            with pytest.raises(Conflict):
                done(connection, step)
            with pytest.raises(Conflict):
                fail(connection, step, FAULT)


@pytest.mark.parametrize("name", [n for n, c in ALL.items() if c.step])
def test_from_every_step_the_end_is_reached_whether_it_works_or_fails(name: str) -> None:
    connection = ALL[name]
    assert connection.step is not None
    assert connection.course is not None
    failed = fail(connection, connection.step, FAULT)
    assert run(failed).state in {State.NONE, State.CONNECTED, State.DISCONNECTED}
    back, skipped = (
        way_back(connection.course, connection.step),
        (connection.course, connection.step) in SKIPPABLE,
    )
    if skipped:
        assert FAULT in failed.warnings
    elif back is not None:
        assert failed.error == FAULT
        assert failed.course is back[0]
        assert run(failed).error == FAULT, "at rest the reason is still told"
    else:
        assert failed.step is connection.step
        assert failed.attempts == connection.attempts + 1


def test_where_a_failed_operation_ends() -> None:
    connecting = connect(NEW, BOND, ORDER)
    ours, aml = ALL["connected(LS)"], ALL["connected(AML)"]
    expected = {Course.CONNECT: (State.NONE, LS), Course.TO_AML: (State.CONNECTED, LS)}
    expected |= {Course.TO_LANGUAGE_STUDIO: (State.CONNECTED, AML), Course.SYNC: (State.CONNECTED, AML)}
    for start in (connecting, switch(ours, AML, ORDER), switch(aml, LS, ORDER), sync(aml, ORDER)):
        at, course = start, start.course
        assert course is not None
        while at.step is not None and at.course is course and way_back(course, at.step):
            end = run(fail(at, at.step, FAULT))
            assert (end.state, end.active) == expected[course]
            at = done(at, at.step)


def test_labels_are_never_open_on_both_sides() -> None:
    """Walk each course with the two doors it opens and closes (rules C3, C4)."""
    for start, here, there in (
        (connect(NEW, BOND, ORDER), True, False),
        (switch(ALL["connected(LS)"], AML, ORDER), True, False),
        (switch(ALL["connected(AML)"], LS, ORDER), False, True),
    ):
        walk(start, here, there)


def walk(connection: Connection, here: bool, there: bool) -> None:
    assert not (here and there)
    step = connection.step
    if step is None:
        active = connection.active if connection.state is State.CONNECTED else LS
        assert (here, there) == (active is LS, active is AML), connection
        return
    if (failed := fail(connection, step, FAULT)).course is not connection.course:
        # A call that failed may have acted: both ends are possible until the way back makes it certain.
        for maybe in {there, step is Step.OPEN or there}:
            walk(failed, here, maybe)
    doors = {
        Step.LOCK: (False, there),
        Step.UNLOCK: (True, there),
        Step.CREATE: (here, True),
        Step.CLOSE: (here, False),
        Step.WITHDRAW: (here, False),
        Step.RELEASE: (here, False),
        Step.OPEN: (here, True),
    }
    walk(done(connection, step), *doors.get(step, (here, there)))


def test_a_disconnect_needs_the_name_typed_and_says_how_many_labels_would_be_lost() -> None:
    aml = ALL["connected(AML)"]
    with pytest.raises(InvalidArgument, match=r"for ever.*'news'.*7 documents") as wrong:
        disconnect(aml, Farewell("News", discard=True, unsynced=7), ORDER)
    assert wrong.value.target == "confirm"
    for unsynced in (0, 7, None):
        with pytest.raises(Conflict) as lossy:
            disconnect(aml, Farewell("news", discard=False, unsynced=unsynced), ORDER)
        assert lossy.value.target == "discardUnsyncedLabels"
    assert (
        disconnect(ALL["connected(LS)"], Farewell("news", discard=False, unsynced=0), ORDER).step
        is Step.TOMBSTONE
    )
    with pytest.raises(Conflict, match="3 documents"):
        disconnect(ALL["connected(LS)"], Farewell("news", discard=False, unsynced=3), ORDER)


def test_a_disconnect_ends_what_is_under_way_and_remembers_its_job() -> None:
    switching = switch(ALL["connected(LS)"], AML, ORDER)
    leaving = disconnect(switching, SURE, replace(ORDER, job_id="job-2"))
    assert (leaving.superseded, leaving.job_id) == (("job-1",), "job-2")


EVENTS = st.sampled_from([*COMMANDS, "done", "fail"])


@given(st.lists(EVENTS, max_size=60))
def test_no_walk_undoes_a_tombstone(events: list[str]) -> None:
    """For one AML project of one project: bound before tombstoned, tombstoned for ever."""
    connection, buried = NEW, set[str]()
    for event in events:
        before = connection
        try:
            if event in {"done", "fail"}:
                assert before.step is not None or connection.step is None
                if connection.step is None:
                    continue
                step = connection.step
                connection = done(connection, step) if event == "done" else fail(connection, step, FAULT)
            elif event == "connect":
                connection = connect(connection, replace(BOND, name=f"n{connection.turn}"), ORDER)
            elif event == "disconnect":
                name = connection.bond.name if connection.bond else ""
                connection = disconnect(connection, replace(SURE, confirm=name), ORDER)
            else:
                connection = COMMANDS[event](connection)
        except LabelbridgeError:
            assert connection is before
            continue
        if before.bond and before.holds is Holds.TOMBSTONED:
            buried.add(before.bond.key)
        if connection.bond and connection.bond.key in buried:
            assert connection.holds is Holds.TOMBSTONED
        if connection.state in {State.NONE, State.DISCONNECTED}:
            assert not connection.bound
