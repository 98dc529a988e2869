"""The steps of each operation on a connection, in order, and the way back from each.

A step is named for its effect and is idempotent: doing it twice is doing it once.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from shared.domain.kinds import Studio


class State(StrEnum):
    NONE = "none"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    SWITCHING = "switching"
    DISCONNECTING = "disconnecting"
    DISCONNECTED = "disconnected"


class Step(StrEnum):
    """An effect. Reading down is about the order in which they come."""

    LOCK = "lockLabels"  # mark the project as bound, take its lock, shut every page
    CHECK = "checkConditions"  # all of rule C2, on the marked project
    CREATE = "createLabelingProject"  # in the studio, once, known again by its tag; waits until it is there
    CLOSE = "closeStudio"  # nobody can label there; waits until that is certain
    HAND_OVER = "handOverLabels"  # write our labels there, where the studio takes them
    EXPORT = "exportLabels"  # a copy of the studio's labels that no longer changes
    IMPORT = "importLabels"  # the copy into each document's `aml_labels`
    ADOPT = "adoptLabels"  # `aml_labels` into `labels`, where AML labeled the document
    ACTIVATE = "activateStudio"  # which studio's labels the project reads and trains on
    OPEN = "openStudio"  # people can label there
    WITHDRAW = "withdrawLabelingProject"  # pause and untag what a failed connect made
    TOMBSTONE = "writeTombstone"  # the blob that nothing removes; then the rows
    RELEASE = "releaseStudio"  # pause and untag, never delete
    UNMARK = "unmarkProject"  # the project is bound to nothing and reads its own labels
    UNLOCK = "unlockLabels"  # labels here can be changed again
    REPORT = "reportResult"  # the job says how it ended

    def next_in(self, course: "Course") -> "Stage | None":
        stages = COURSES[course]
        index = next(i for i, stage in enumerate(stages) if stage.step is self)
        return stages[index + 1] if index + 1 < len(stages) else None


class Course(StrEnum):
    CONNECT = "connect"
    CONNECT_BACK = "undo connect"
    TO_AML = "switch to azureMachineLearning"
    TO_AML_BACK = "undo switch to azureMachineLearning"
    TO_LANGUAGE_STUDIO = "switch to languageStudio"
    TO_LANGUAGE_STUDIO_BACK = "undo switch to languageStudio"
    SYNC = "sync"
    SYNC_BACK = "undo sync"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step, the state in which it is due, and the active studio from then on (None: as it was)."""

    step: Step
    state: State
    active: Studio | None = None


def _stages(state: State, *steps: Step, active: Studio | None = None) -> tuple[Stage, ...]:
    return tuple(Stage(step, state, active) for step in steps)


_LS, _AML = Studio.LANGUAGE_STUDIO, Studio.AZURE_ML
_IN_OUR_HANDS = _stages(State.CONNECTED, Step.UNLOCK, Step.REPORT, active=_LS)
_IN_AML = _stages(State.CONNECTED, Step.REPORT, active=_AML)

COURSES: Final = MappingProxyType(
    {
        Course.CONNECT: (
            *_stages(State.CONNECTING, Step.LOCK, Step.CHECK, Step.CREATE, Step.CLOSE),
            *_IN_OUR_HANDS,
        ),
        Course.CONNECT_BACK: (
            *_stages(State.CONNECTING, Step.WITHDRAW, Step.UNMARK),
            *_stages(State.NONE, Step.UNLOCK, Step.REPORT),
        ),
        Course.TO_AML: (
            *_stages(
                State.SWITCHING, Step.LOCK, Step.HAND_OVER, Step.EXPORT, Step.IMPORT, Step.ACTIVATE, Step.OPEN
            ),
            *_IN_AML,
        ),
        Course.TO_AML_BACK: (*_stages(State.SWITCHING, Step.CLOSE, Step.ACTIVATE), *_IN_OUR_HANDS),
        Course.TO_LANGUAGE_STUDIO: (
            *_stages(State.SWITCHING, Step.CLOSE, Step.EXPORT, Step.IMPORT, Step.ADOPT, Step.ACTIVATE),
            *_IN_OUR_HANDS,
        ),
        Course.TO_LANGUAGE_STUDIO_BACK: (*_stages(State.SWITCHING, Step.ACTIVATE, Step.OPEN), *_IN_AML),
        Course.SYNC: (*_stages(State.CONNECTED, Step.EXPORT, Step.IMPORT), *_IN_AML),
        Course.SYNC_BACK: _IN_AML,
        Course.DISCONNECT: (
            *_stages(State.DISCONNECTING, Step.TOMBSTONE, Step.RELEASE, Step.UNMARK),
            *_stages(State.DISCONNECTED, Step.UNLOCK, Step.REPORT, active=_LS),
        ),
    }
)

#: Steps that must not hold up the rest when the other side refuses for good: the fault becomes a warning.
SKIPPABLE: Final = frozenset({(Course.CONNECT_BACK, Step.WITHDRAW), (Course.DISCONNECT, Step.RELEASE)})

#: Courses that undo another; their error is the reason for going back.
BACKS: Final = frozenset(
    {Course.CONNECT_BACK, Course.TO_AML_BACK, Course.TO_LANGUAGE_STUDIO_BACK, Course.SYNC_BACK}
)

#: Where each way back begins: before the studio was touched there is nothing to undo there.
_BACK: Final = MappingProxyType(
    {
        (Course.CONNECT, Step.LOCK): (Course.CONNECT_BACK, Step.UNMARK),
        (Course.CONNECT, Step.CHECK): (Course.CONNECT_BACK, Step.UNMARK),
        (Course.CONNECT, Step.CREATE): (Course.CONNECT_BACK, Step.WITHDRAW),
        (Course.CONNECT, Step.CLOSE): (Course.CONNECT_BACK, Step.WITHDRAW),
        (Course.TO_AML, Step.LOCK): (Course.TO_AML_BACK, Step.ACTIVATE),
        (Course.TO_AML, Step.HAND_OVER): (Course.TO_AML_BACK, Step.ACTIVATE),
        (Course.TO_AML, Step.EXPORT): (Course.TO_AML_BACK, Step.ACTIVATE),
        (Course.TO_AML, Step.IMPORT): (Course.TO_AML_BACK, Step.ACTIVATE),
        (Course.TO_AML, Step.ACTIVATE): (Course.TO_AML_BACK, Step.ACTIVATE),
        (Course.TO_AML, Step.OPEN): (Course.TO_AML_BACK, Step.CLOSE),
        (Course.TO_LANGUAGE_STUDIO, Step.CLOSE): (Course.TO_LANGUAGE_STUDIO_BACK, Step.OPEN),
        (Course.TO_LANGUAGE_STUDIO, Step.EXPORT): (Course.TO_LANGUAGE_STUDIO_BACK, Step.OPEN),
        (Course.TO_LANGUAGE_STUDIO, Step.IMPORT): (Course.TO_LANGUAGE_STUDIO_BACK, Step.OPEN),
        (Course.TO_LANGUAGE_STUDIO, Step.ADOPT): (Course.TO_LANGUAGE_STUDIO_BACK, Step.OPEN),
        (Course.TO_LANGUAGE_STUDIO, Step.ACTIVATE): (Course.TO_LANGUAGE_STUDIO_BACK, Step.ACTIVATE),
        (Course.SYNC, Step.EXPORT): (Course.SYNC_BACK, Step.REPORT),
        (Course.SYNC, Step.IMPORT): (Course.SYNC_BACK, Step.REPORT),
    }
)


def way_back(course: Course, step: Step) -> tuple[Course, Stage] | None:
    """The course that undoes, and its first stage; None: no way back, the step is tried until it works."""
    if (course, step) not in _BACK:
        return None
    back, first = _BACK[course, step]
    return back, next(stage for stage in COURSES[back] if stage.step is first)
