"""The connection of a project with a labeling project of another studio: a pure state machine (rules C1 to C17).

                connect                 last step                switch
    none ──────────────▶ connecting ─────────────▶ connected(LS) ◀────▶ switching ◀────▶ connected(AML) ⟲ sync
     ▲ ▲                     │ a step fails:            │                   │                  │
     │ └─────────────────────┘ undone, nothing bound    └───────────────────┴──────────────────┘ disconnect
     │                                                                      ▼
     └ (project recreated) ◀─── disconnected ◀──────────────────── disconnecting  (is never undone)
             connect (another labeling project) └──▶ connecting

A command starts a *saga*: a fixed list of idempotent steps, each with the state in which it runs. The stored
step is the one to run next, so after a crash it is simply run again. `done` moves on to the next step. `fail`
starts the saga that undoes this one, or keeps the step for another try where nothing can be undone: no state
is stuck, and none needs a manual repair.

`binding_status` is what the row of the labeling project must say: `bound`, `free` (never bound) or
`tombstoned`. A labeling project goes from bound to tombstoned, or back to free when connecting failed;
no event changes the status of a tombstoned one.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from shared.connection.binding import Binding
from shared.domain.errors import Conflict, InvalidArgument
from shared.domain.jobs import JobError
from shared.domain.names import Studio
from shared.domain.project import OfProject

BUSY_SECONDS: Final = 2
MAX_WARNINGS: Final = 20


class State(StrEnum):
    NONE = "none"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    SWITCHING = "switching"
    DISCONNECTING = "disconnecting"
    DISCONNECTED = "disconnected"


class Step(StrEnum):
    """Named for its effect; roughly in the order in which steps run."""

    LOCK = "lockLabels"  # mark the project as bound, take its write lock, fence every page
    CHECK = "checkConditions"  # all of rules C2 and C13, on the marked project
    CREATE = "createLabelingProject"  # recognized by its tag when repeated; waits until it is ready
    CLOSE = "closeStudio"  # nobody can label in AML; waits until that is certain
    HAND_OVER = "handOverLabels"  # write our labels to the studio, if it accepts them
    EXPORT = "exportLabels"  # take a snapshot of the studio's labels
    IMPORT = "importLabels"  # the snapshot into each document's `aml_labels`
    ADOPT = "adoptLabels"  # `aml_labels` into `labels`, for documents labeled in AML
    ACTIVATE = "activateStudio"  # choose whose labels the project reads and trains on
    OPEN = "openStudio"  # people can label in AML
    WITHDRAW = "withdrawLabelingProject"  # pause what a failed connect created
    TOMBSTONE = "writeTombstone"  # the permanent blob, then the rows
    RELEASE = "releaseStudio"  # pause and untag, never delete
    UNMARK = "unmarkProject"  # the project is no longer bound and reads its own labels
    UNLOCK = "unlockLabels"  # labels can be changed here again
    REPORT = "reportResult"  # the job gets its result

    def next_in(self, saga: "Saga") -> "Stage | None":
        stages = SAGAS[saga]
        index = next(i for i, stage in enumerate(stages) if stage.step is self)
        return stages[index + 1] if index + 1 < len(stages) else None


class Saga(StrEnum):
    CONNECT = "connect"
    UNDO_CONNECT = "undo connect"
    TO_AML = "switch to azureMachineLearning"
    UNDO_TO_AML = "undo switch to azureMachineLearning"
    TO_LANGUAGE_STUDIO = "switch to languageStudio"
    UNDO_TO_LANGUAGE_STUDIO = "undo switch to languageStudio"
    SYNC = "sync"
    UNDO_SYNC = "undo sync"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step, the state in which it runs, and the active studio from then on (None: unchanged)."""

    step: Step
    state: State
    active: Studio | None = None


def _stages(state: State, *steps: Step, active: Studio | None = None) -> tuple[Stage, ...]:
    return tuple(Stage(step, state, active) for step in steps)


_LS, _AML = Studio.LANGUAGE_STUDIO, Studio.AZURE_ML
_ACTIVE_HERE = _stages(State.CONNECTED, Step.UNLOCK, Step.REPORT, active=_LS)
_ACTIVE_IN_AML = _stages(State.CONNECTED, Step.REPORT, active=_AML)

SAGAS: Final = MappingProxyType(
    {
        Saga.CONNECT: (
            *_stages(State.CONNECTING, Step.LOCK, Step.CHECK, Step.CREATE, Step.CLOSE),
            *_ACTIVE_HERE,
        ),
        Saga.UNDO_CONNECT: (
            *_stages(State.CONNECTING, Step.WITHDRAW, Step.UNMARK),
            *_stages(State.NONE, Step.UNLOCK, Step.REPORT),
        ),
        Saga.TO_AML: (
            *_stages(
                State.SWITCHING, Step.LOCK, Step.HAND_OVER, Step.EXPORT, Step.IMPORT, Step.ACTIVATE, Step.OPEN
            ),
            *_ACTIVE_IN_AML,
        ),
        Saga.UNDO_TO_AML: (*_stages(State.SWITCHING, Step.CLOSE, Step.ACTIVATE), *_ACTIVE_HERE),
        Saga.TO_LANGUAGE_STUDIO: (
            *_stages(State.SWITCHING, Step.CLOSE, Step.EXPORT, Step.IMPORT, Step.ADOPT, Step.ACTIVATE),
            *_ACTIVE_HERE,
        ),
        Saga.UNDO_TO_LANGUAGE_STUDIO: (*_stages(State.SWITCHING, Step.ACTIVATE, Step.OPEN), *_ACTIVE_IN_AML),
        Saga.SYNC: (*_stages(State.CONNECTED, Step.EXPORT, Step.IMPORT), *_ACTIVE_IN_AML),
        Saga.UNDO_SYNC: _ACTIVE_IN_AML,
        Saga.DISCONNECT: (
            *_stages(State.DISCONNECTING, Step.TOMBSTONE, Step.RELEASE, Step.UNMARK),
            *_stages(State.DISCONNECTED, Step.UNLOCK, Step.REPORT, active=_LS),
        ),
    }
)

#: Steps whose permanent failure becomes a warning instead of stopping the saga.
SKIPPABLE: Final = frozenset({(Saga.UNDO_CONNECT, Step.WITHDRAW), (Saga.DISCONNECT, Step.RELEASE)})

#: Sagas that undo another; their error is the reason.
UNDO_SAGAS: Final = frozenset(
    {Saga.UNDO_CONNECT, Saga.UNDO_TO_AML, Saga.UNDO_TO_LANGUAGE_STUDIO, Saga.UNDO_SYNC}
)

#: The undo saga of a failed step, and where it begins: nothing to undo in a studio that was not touched yet.
_UNDO: Final = MappingProxyType(
    {
        (Saga.CONNECT, Step.LOCK): (Saga.UNDO_CONNECT, Step.UNMARK),
        (Saga.CONNECT, Step.CHECK): (Saga.UNDO_CONNECT, Step.UNMARK),
        (Saga.CONNECT, Step.CREATE): (Saga.UNDO_CONNECT, Step.WITHDRAW),
        (Saga.CONNECT, Step.CLOSE): (Saga.UNDO_CONNECT, Step.WITHDRAW),
        (Saga.TO_AML, Step.LOCK): (Saga.UNDO_TO_AML, Step.ACTIVATE),
        (Saga.TO_AML, Step.HAND_OVER): (Saga.UNDO_TO_AML, Step.ACTIVATE),
        (Saga.TO_AML, Step.EXPORT): (Saga.UNDO_TO_AML, Step.ACTIVATE),
        (Saga.TO_AML, Step.IMPORT): (Saga.UNDO_TO_AML, Step.ACTIVATE),
        (Saga.TO_AML, Step.ACTIVATE): (Saga.UNDO_TO_AML, Step.ACTIVATE),
        (Saga.TO_AML, Step.OPEN): (Saga.UNDO_TO_AML, Step.CLOSE),
        (Saga.TO_LANGUAGE_STUDIO, Step.CLOSE): (Saga.UNDO_TO_LANGUAGE_STUDIO, Step.OPEN),
        (Saga.TO_LANGUAGE_STUDIO, Step.EXPORT): (Saga.UNDO_TO_LANGUAGE_STUDIO, Step.OPEN),
        (Saga.TO_LANGUAGE_STUDIO, Step.IMPORT): (Saga.UNDO_TO_LANGUAGE_STUDIO, Step.OPEN),
        (Saga.TO_LANGUAGE_STUDIO, Step.ADOPT): (Saga.UNDO_TO_LANGUAGE_STUDIO, Step.OPEN),
        (Saga.TO_LANGUAGE_STUDIO, Step.ACTIVATE): (Saga.UNDO_TO_LANGUAGE_STUDIO, Step.ACTIVATE),
        (Saga.SYNC, Step.EXPORT): (Saga.UNDO_SYNC, Step.REPORT),
        (Saga.SYNC, Step.IMPORT): (Saga.UNDO_SYNC, Step.REPORT),
    }
)


def undo_of(saga: Saga, step: Step) -> tuple[Saga, Stage] | None:
    """The saga that undoes, and its first stage; None: it cannot be undone, the step is retried."""
    if (saga, step) not in _UNDO:
        return None
    undo, first = _UNDO[saga, step]
    return undo, next(stage for stage in SAGAS[undo] if stage.step is first)


class BindingStatus(StrEnum):
    """What is known of a labeling project of the other studio."""

    BOUND = "bound"
    FREE = "free"
    TOMBSTONED = "tombstoned"


@dataclass(frozen=True, slots=True)
class Progress:
    """What the steps of a saga leave for later ones.

    `export`: the adapter's note on the export under way. `snapshot`: blob with the exported lines, `marker` what
    the studio's labels looked like then. `imported`: documents (None: no import ran). `errors`: unmet conditions
    or some of the `bad_lines`.
    """

    export: str = ""
    snapshot: str = ""
    marker: str = ""
    imported: int | None = None
    bad_lines: int = 0
    errors: tuple[JobError, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection(OfProject):
    """The state of one project's connection. `step`: the one to run next (None: idle).

    `sequence` numbers sagas. `closed_sequence` is the one that last set out to close the studio,
    `previous_closed_sequence` the one before it, `locked_sequence` the one that took the project's lock: a late
    step of an older saga carries an older number, so it cannot open what a newer saga closed.
    """

    project: str
    incarnation: str
    state: State = State.NONE
    active: Studio = Studio.LANGUAGE_STUDIO
    binding: Binding | None = None
    saga: Saga | None = None
    step: Step | None = None
    job_id: str = ""
    actor: str = ""
    started: datetime | None = None
    sequence: int = 0
    closed_sequence: int = 0
    previous_closed_sequence: int = 0
    locked_sequence: int = 0
    attempts: int = 0
    progress: Progress = Progress()
    last_imported: datetime | None = None
    #: What the studio's labels looked like at the last import without bad lines; "" forces the next import.
    marker: str = ""
    #: Blob in our own container with the lines of the last import, and how many documents it labeled.
    snapshot: str = ""
    imported: int = 0
    error: JobError | None = None
    warnings: tuple[JobError, ...] = ()
    #: Jobs that a disconnect ended early.
    superseded: tuple[str, ...] = ()
    #: When the step became due, and what it waits for.
    since: datetime | None = None
    waiting: str = ""
    log: int = 0

    @property
    def idle(self) -> bool:
        return self.step is None

    @property
    def bound(self) -> bool:
        """Whether the project belongs to a labeling project, as rule C12 means it."""
        return self.state in {State.CONNECTING, State.CONNECTED, State.SWITCHING, State.DISCONNECTING}

    @property
    def binding_status(self) -> BindingStatus:
        """What the row of the labeling project must say while the connection is in this state."""
        if self.binding is None or self.state is State.NONE:
            return BindingStatus.FREE
        tombstoned = self.state is State.DISCONNECTED or (
            self.state is State.DISCONNECTING and self.step is not Step.TOMBSTONE
        )
        return BindingStatus.TOMBSTONED if tombstoned else BindingStatus.BOUND


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state. `error`: the message of the error of an operation that failed."""

    before: State = field(metadata={"key": "from"})
    after: State = field(metadata={"key": "to"})
    active_studio: Studio
    operation: Saga | None = None
    next_step: Step | None = None
    aml_project_name: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One transition, for the history."""

    at: datetime
    actor: str
    transition: Transition


@dataclass(frozen=True, slots=True)
class Command:
    """Who asked, when, and the job that reports the result."""

    job_id: str
    actor: str
    at: datetime


def connect(connection: Connection, binding: Binding, command: Command) -> Connection:
    if connection.state not in {State.NONE, State.DISCONNECTED}:
        raise _not_possible(connection, "connect")
    _require_idle(connection, "connect")
    fresh = Connection(
        connection.project, connection.incarnation, log=connection.log, sequence=connection.sequence
    )
    return _start(replace(fresh, binding=binding), Saga.CONNECT, command)


def switch(connection: Connection, to: Studio, command: Command) -> Connection:
    if connection.state is not State.CONNECTED:
        raise _not_possible(connection, "switch")
    if connection.active is to:
        raise Conflict(f"'{to}' is already the active studio. You can switch to '{_other(to)}'.", target="to")
    _require_idle(connection, "switch")
    saga = Saga.TO_AML if to is Studio.AZURE_ML else Saga.TO_LANGUAGE_STUDIO
    return _start(connection, saga, command)


def sync(connection: Connection, command: Command) -> Connection:
    if connection.state is not State.CONNECTED or connection.active is not Studio.AZURE_ML:
        raise _not_possible(connection, "sync")
    _require_idle(connection, "sync")
    return _start(connection, Saga.SYNC, command)


@dataclass(frozen=True, slots=True)
class DisconnectRequest:
    """A confirmed disconnect. `unsynced`: documents labeled in AML but not imported; None: unknown."""

    confirm: str
    discard: bool
    unsynced: int | None


def disconnect(connection: Connection, request: DisconnectRequest, command: Command) -> Connection:
    """Possible from every bound state; it replaces a running operation (rules C6, C12)."""
    if connection.binding is None or connection.state not in {State.CONNECTED, State.SWITCHING}:
        raise _not_possible(connection, "disconnect")
    if request.confirm != connection.binding.name:
        raise InvalidArgument(
            "Disconnecting is permanent. To confirm, set 'confirm' to the name of the labeling project, "
            f"'{connection.binding.name}'.{_loss(connection, request)}",
            target="confirm",
        )
    if not request.discard and may_lose_labels(connection, request.unsynced):
        raise Conflict(
            f"Disconnecting would discard labels made in Azure Machine Learning.{_loss(connection, request)} "
            "To keep them, switch back to Labelbridge first; to discard them, set "
            "'discardUnsyncedLabels' to true.",
            target="discardUnsyncedLabels",
            inner_code="UnsyncedLabels",
        )
    ended = (connection.job_id,) if not connection.idle and connection.job_id else ()
    after = replace(connection, superseded=(*connection.superseded, *ended))
    return _start(after, Saga.DISCONNECT, command)


def may_lose_labels(connection: Connection, unsynced: int | None) -> bool:
    away = connection.active is Studio.AZURE_ML or connection.state is State.SWITCHING
    return away or unsynced is None or unsynced > 0


def done(connection: Connection, step: Step, progress: Progress | None = None) -> Connection:
    """The connection after its due step. Raises Conflict when another step is due: another worker was faster."""
    saga = _require_due(connection, step)
    # In an undo saga the error is the reason and stays; elsewhere it was of a try that has now worked.
    error = connection.error if saga in UNDO_SAGAS else None
    after = replace(connection, attempts=0, progress=progress or connection.progress, error=error, waiting="")
    return _at(after, saga, step.next_in(saga))


def fail(connection: Connection, step: Step, error: JobError) -> Connection:
    """The connection after its due step failed: the saga undone, the step skipped, or due again."""
    saga = _require_due(connection, step)
    if (saga, step) in SKIPPABLE:
        return done(warn(connection, error), step)
    undo = undo_of(saga, step)
    if undo is None:
        keep_reason = connection.error is not None and saga in UNDO_SAGAS
        noted = warn(connection, error) if keep_reason else replace(connection, error=error)
        return replace(noted, attempts=connection.attempts + 1, waiting="")
    after = replace(connection, error=error, attempts=0, sequence=connection.sequence + 1, waiting="")
    return _at(after, *undo)


def postpone(connection: Connection, reason: str, progress: Progress | None = None) -> Connection:
    """The same step is due later: the studio needs time, or does not answer."""
    return replace(
        connection,
        waiting=reason,
        attempts=connection.attempts + 1,
        progress=progress or connection.progress,
    )


def warn(connection: Connection, *warnings: JobError) -> Connection:
    fresh = [warning for warning in warnings if warning not in connection.warnings]
    return replace(connection, warnings=(*connection.warnings, *fresh)[:MAX_WARNINGS])


def _start(connection: Connection, saga: Saga, command: Command) -> Connection:
    started = replace(
        connection,
        job_id=command.job_id,
        actor=command.actor,
        started=command.at,
        sequence=connection.sequence + 1,
        attempts=0,
        progress=Progress(),
        error=None,
        warnings=(),
        waiting="",
    )
    return _at(started, saga, SAGAS[saga][0])


def _at(connection: Connection, saga: Saga, stage: Stage | None) -> Connection:
    """The connection with this stage due; None: the saga has ended and the connection is idle."""
    if stage is None:
        idle = replace(connection, saga=None, step=None, job_id="", progress=Progress(), superseded=())
        return replace(idle, since=None, waiting="")
    active = stage.active or connection.active
    after = replace(connection, saga=saga, state=stage.state, step=stage.step, active=active)
    if stage.step is Step.CLOSE:
        after = replace(
            after,
            closed_sequence=connection.sequence,
            previous_closed_sequence=connection.closed_sequence,
        )
    if stage.step is Step.LOCK:
        after = replace(after, locked_sequence=connection.sequence)
    return replace(after, binding=None) if stage.state is State.NONE else after


def _require_due(connection: Connection, step: Step) -> Saga:
    if connection.step is not step or connection.saga is None:
        raise Conflict(f"The step '{step}' is not due.")
    return connection.saga


def _require_idle(connection: Connection, command: str) -> None:
    if connection.idle:
        return
    raise Conflict(
        f"An operation on the connection is running ('{connection.saga}', step '{connection.step}'). "
        f"Try '{command}' again when it has ended.",
        inner_code="ConnectionBusy",
        retry_after=BUSY_SECONDS,
    )


def _not_possible(connection: Connection, command: str) -> Conflict:
    name = f"'{connection.state}'"
    if connection.state is State.CONNECTED:
        name += f" and '{connection.active}' is active"
    passing = connection.state in {State.CONNECTING, State.SWITCHING, State.DISCONNECTING}
    return Conflict(
        f"'{command}' is not possible while the connection is {name}. {_possible(connection)}",
        inner_code="ConnectionState",
        retry_after=BUSY_SECONDS if passing else None,
    )


def _possible(connection: Connection) -> str:
    match connection.state:
        case State.NONE:
            return "You can connect."
        case State.CONNECTING:
            return "Wait until connecting has succeeded or failed."
        case State.CONNECTED if connection.active is Studio.AZURE_ML:
            return f"You can switch to '{Studio.LANGUAGE_STUDIO}', sync, or disconnect."
        case State.CONNECTED:
            return f"You can switch to '{Studio.AZURE_ML}' or disconnect."
        case State.SWITCHING:
            return "Wait until the switch has ended, or disconnect."
        case State.DISCONNECTING:
            return "Wait until disconnecting has ended; then you can connect to another labeling project."
        case State.DISCONNECTED:
            return "You can connect to another labeling project."


def _loss(connection: Connection, request: DisconnectRequest) -> str:
    if request.unsynced:
        documents = "1 document" if request.unsynced == 1 else f"{request.unsynced} documents"
        return f" Labels of {documents} in Azure Machine Learning have not been imported."
    unknown = request.unsynced is None and connection.active is Studio.AZURE_ML
    return " How many labels have not been imported is currently unknown." if unknown else ""


def _other(studio: Studio) -> Studio:
    return Studio.LANGUAGE_STUDIO if studio is Studio.AZURE_ML else Studio.AZURE_ML
