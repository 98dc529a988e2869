"""The connection of a project with an AML labeling project: a pure state machine (rules C1 to C12).

                connect                 last step                switch
    none ──────────────▶ connecting ─────────────▶ connected(LS) ◀────▶ switching ◀────▶ connected(AML) ⟲ sync
     ▲ ▲                     │ a step fails:            │                   │                  │
     │ └─────────────────────┘ withdrawn, free again    └───────────────────┴──────────────────┘ disconnect
     │                                                                      ▼
     └ (a project made again) ◀─ disconnected ◀──────────────────── disconnecting  (never turns back)
             connect (another AML project) └──▶ connecting

A command starts a *course*: a fixed list of steps, each with the state in which it is done. The step that is
stored is the effect that is due; every step may be done twice, so after a crash the stored step is simply
done (again). `done` goes to the next step. `fail` takes the way back that the course has, or leaves the step
to be tried again where there is none: so no state is stuck, and none needs a repair by hand.

`holds` tells what the AML project's own row says: `bound` (it is ours), `free` (it never was), `tombstoned`
(it was, and can never be again). The order is bound -> tombstoned, or bound -> free when connecting failed;
no event gives another `holds` to an AML project that bears a tombstone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.domain.bond import Bond
from shared.domain.connection_courses import BACKS, COURSES, SKIPPABLE, Course, Stage, State, Step, way_back
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import JobError
from shared.domain.kinds import Studio

BUSY_SECONDS: Final = 2
MAX_WARNINGS: Final = 20


class Holds(StrEnum):
    BOUND = "bound"
    FREE = "free"
    TOMBSTONED = "tombstoned"


@dataclass(frozen=True, slots=True)
class Connection:
    """All that is known of one project's connection, and the step that is due (`step` None: at rest).

    `facts` is what steps leave for later steps; `superseded` are jobs that a disconnect ended early.
    """

    project: str
    incarnation: str
    state: State = State.NONE
    active: Studio = Studio.LANGUAGE_STUDIO
    bond: Bond | None = None
    course: Course | None = None
    step: Step | None = None
    job_id: str = ""
    actor: str = ""
    started: datetime | None = None
    #: Numbers operations and ways back. `closed` is the turn that last set out to close the studio,
    #: `reclosed` the one before, `locked` the one that took the project's lock: what is left over of an older
    #: turn names an older number, and so can open nothing that a newer one shut.
    turn: int = 0
    closed: int = 0
    reclosed: int = 0
    locked: int = 0
    attempts: int = 0
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    last_imported: datetime | None = None
    #: What the studio's labels looked like when they were last imported whole; "" forces the next import.
    marker: str = ""
    #: Blob of our own container with the lines of that import.
    pinned: str = ""
    imported: int = 0
    error: JobError | None = None
    warnings: tuple[JobError, ...] = ()
    superseded: tuple[str, ...] = ()
    #: Since when the step is due, and what it waits for.
    since: datetime | None = None
    waiting: str = ""
    log: int = 0

    @property
    def bound(self) -> bool:
        """Whether the project belongs to an AML project: what rule C12 asks."""
        return self.state in {State.CONNECTING, State.CONNECTED, State.SWITCHING, State.DISCONNECTING}

    @property
    def holds(self) -> Holds:
        """What the row of the AML project must say while this is the connection's state."""
        if self.bond is None or self.state is State.NONE:
            return Holds.FREE
        buried = self.state is State.DISCONNECTED or (
            self.state is State.DISCONNECTING and self.step is not Step.TOMBSTONE
        )
        return Holds.TOMBSTONED if buried else Holds.BOUND


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants it, when, and the job that reports on it."""

    job_id: str
    actor: str
    at: datetime


def connect(connection: Connection, bond: Bond, order: Order) -> Connection:
    if connection.state not in {State.NONE, State.DISCONNECTED}:
        raise _refuse(connection, "connect")
    _require_rest(connection, "connect")
    fresh = Connection(connection.project, connection.incarnation, log=connection.log, turn=connection.turn)
    return _start(replace(fresh, bond=bond), Course.CONNECT, order)


def switch(connection: Connection, to: Studio, order: Order) -> Connection:
    if connection.state is not State.CONNECTED:
        raise _refuse(connection, "switch")
    if connection.active is to:
        raise Conflict(
            f"'{to}' is the active studio already. Possible: switch to '{_other(to)}'.", target="to"
        )
    _require_rest(connection, "switch")
    course = Course.TO_AML if to is Studio.AZURE_ML else Course.TO_LANGUAGE_STUDIO
    return _start(connection, course, order)


def sync(connection: Connection, order: Order) -> Connection:
    if connection.state is not State.CONNECTED or connection.active is not Studio.AZURE_ML:
        raise _refuse(connection, "sync")
    _require_rest(connection, "sync")
    return _start(connection, Course.SYNC, order)


@dataclass(frozen=True, slots=True)
class Farewell:
    """The confirmation of a disconnect. `unsynced`: labels in AML that were not imported; None: not known."""

    confirm: str
    discard: bool
    unsynced: int | None


def disconnect(connection: Connection, farewell: Farewell, order: Order) -> Connection:
    """Possible from every bound state; what was under way is superseded (rules C6, C12)."""
    if connection.bond is None or connection.state not in {State.CONNECTED, State.SWITCHING}:
        raise _refuse(connection, "disconnect")
    if farewell.confirm != connection.bond.name:
        wanted = f"type the AML project's name, '{connection.bond.name}', as 'confirm'"
        raise InvalidArgument(
            f"A disconnect is for ever; to go on, {wanted}.{_loss(connection, farewell)}", target="confirm"
        )
    if not farewell.discard and may_lose_labels(connection, farewell.unsynced):
        raise Conflict(
            f"Labels of Azure Machine Learning would be lost.{_loss(connection, farewell)} Switch back "
            "to this studio first, which imports them, or send 'discardUnsyncedLabels': true.",
            target="discardUnsyncedLabels",
            inner_code="UnsyncedLabels",
        )
    left = (connection.job_id,) if connection.step is not None and connection.job_id else ()
    return _start(replace(connection, superseded=(*connection.superseded, *left)), Course.DISCONNECT, order)


def may_lose_labels(connection: Connection, unsynced: int | None) -> bool:
    away = connection.active is Studio.AZURE_ML or connection.state is State.SWITCHING
    return away or unsynced is None or unsynced > 0


def done(connection: Connection, step: Step, facts: Mapping[str, str] | None = None) -> Connection:
    """The connection after its due step; raises Conflict when another step is due (somebody was faster)."""
    if connection.step is not step or connection.course is None:
        raise Conflict(f"The step '{step}' is not due.")
    known = {**connection.facts, **(facts or {})}
    # On the way back the error is the reason for it and stays; elsewhere it told of a try that now worked.
    error = connection.error if connection.course in BACKS else None
    settled = replace(connection, attempts=0, facts=known, error=error, waiting="")
    return _at(settled, connection.course, step.next_in(connection.course))


def fail(connection: Connection, step: Step, fault: JobError) -> Connection:
    """The connection after its due step cannot be done: the way back, the step skipped, or due again."""
    if connection.step is not step or connection.course is None:
        raise Conflict(f"The step '{step}' is not due.")
    if (connection.course, step) in SKIPPABLE:
        return done(warn(connection, fault), step)
    back = way_back(connection.course, step)
    if back is None:
        kept = (
            warn(connection, fault)
            if connection.error and connection.course in BACKS
            else replace(connection, error=fault)
        )
        return replace(kept, attempts=connection.attempts + 1, waiting="")
    turned = replace(connection, error=fault, attempts=0, turn=connection.turn + 1, waiting="")
    return _at(turned, *back)


def postpone(connection: Connection, reason: str, facts: Mapping[str, str] | None = None) -> Connection:
    """The same step is due later: the other side needs time, or does not answer now."""
    known = {**connection.facts, **(facts or {})}
    return replace(connection, waiting=reason, attempts=connection.attempts + 1, facts=known)


def warn(connection: Connection, *warnings: JobError) -> Connection:
    fresh = [one for one in warnings if one not in connection.warnings]
    return replace(connection, warnings=(*connection.warnings, *fresh)[:MAX_WARNINGS])


def _start(connection: Connection, course: Course, order: Order) -> Connection:
    begun = replace(
        connection,
        job_id=order.job_id,
        actor=order.actor,
        started=order.at,
        turn=connection.turn + 1,
        attempts=0,
        facts={},
        error=None,
        warnings=(),
        waiting="",
    )
    return _at(begun, course, COURSES[course][0])


def _at(connection: Connection, course: Course, stage: Stage | None) -> Connection:
    """The connection with this stage due; None: the course is at its end and the connection at rest."""
    if stage is None:
        rest = replace(connection, course=None, step=None, job_id="", facts={}, superseded=())
        return replace(rest, since=None, waiting="")
    active = stage.active or connection.active
    after = replace(connection, course=course, state=stage.state, step=stage.step, active=active)
    if stage.step is Step.CLOSE:
        after = replace(after, closed=connection.turn, reclosed=connection.closed)
    if stage.step is Step.LOCK:
        after = replace(after, locked=connection.turn)
    return replace(after, bond=None) if stage.state is State.NONE else after


def _require_rest(connection: Connection, command: str) -> None:
    if connection.step is None:
        return
    raise Conflict(
        f"The connection is at work ({connection.course}, '{connection.step}'). Possible after: {command}.",
        inner_code="ConnectionBusy",
        retry_after=BUSY_SECONDS,
    )


def _refuse(connection: Connection, command: str) -> Conflict:
    name = connection.state.value
    if connection.state is State.CONNECTED:
        name = f"connected, '{connection.active}' active"
    passing = connection.state in {State.CONNECTING, State.SWITCHING, State.DISCONNECTING}
    return Conflict(
        f"'{command}' is not possible while the connection is {name}. {_possible(connection)}",
        inner_code="ConnectionState",
        retry_after=BUSY_SECONDS if passing else None,
    )


def _possible(connection: Connection) -> str:
    match connection.state:
        case State.NONE:
            return "Possible: connect."
        case State.CONNECTING:
            return "It ends by itself, as connected or with the reason why not; wait for it."
        case State.CONNECTED if connection.active is Studio.AZURE_ML:
            return f"Possible: switch to '{Studio.LANGUAGE_STUDIO}', sync, disconnect."
        case State.CONNECTED:
            return f"Possible: switch to '{Studio.AZURE_ML}', disconnect."
        case State.SWITCHING:
            return "It ends by itself; wait for it, or disconnect."
        case State.DISCONNECTING:
            return "It ends by itself; then connecting to another AML project is possible."
        case State.DISCONNECTED:
            return "Possible: connect to another AML project."


def _loss(connection: Connection, farewell: Farewell) -> str:
    if farewell.unsynced:
        return f" Labels of {farewell.unsynced} documents in Azure Machine Learning were not imported."
    unknown = farewell.unsynced is None and connection.active is Studio.AZURE_ML
    return " How many labels were not imported is not known now." if unknown else ""


def _other(studio: Studio) -> Studio:
    return Studio.LANGUAGE_STUDIO if studio is Studio.AZURE_ML else Studio.AZURE_ML
