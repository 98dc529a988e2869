"""Connections as rows of table `connections`."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from shared.domain.bond import Bond, StudioKind
from shared.domain.connection import Connection
from shared.domain.connection_courses import Course, State, Step
from shared.domain.jobs import JobError
from shared.domain.kinds import Studio
from shared.storage import packing
from shared.storage.gateways.ports import Value

#: Kept as they are: texts, numbers, and lists of texts.
_PLAIN = (
    *("project", "job_id", "actor", "turn", "closed", "reclosed", "locked", "attempts"),
    *("marker", "pinned", "imported", "waiting", "log", "facts", "superseded"),
)
_TIMES = ("started", "last_imported", "since")


def encode(connection: Connection) -> dict[str, Value]:
    """`step` stands apart, so that a sweep finds what is under way."""
    data: dict[str, Any] = {name: getattr(connection, name) for name in _PLAIN}
    data |= {name: _time(getattr(connection, name)) for name in _TIMES}
    data["facts"] = dict(connection.facts)
    data["active"] = connection.active
    data["course"] = connection.course
    data["bond"] = asdict(connection.bond) if connection.bond else None
    data["error"] = asdict(connection.error) if connection.error else None
    data["warnings"] = [asdict(warning) for warning in connection.warnings]
    return {
        "v": 1,
        "state": connection.state.value,
        "step": connection.step or "",
        **packing.packed_values(data),
    }


def decode(incarnation: str, values: Mapping[str, Value]) -> Connection:
    data = packing.unpacked_values(values)
    step = packing.string(values, "step")
    plain: dict[str, Any] = {name: data[name] for name in _PLAIN}
    times: dict[str, Any] = {n: datetime.fromisoformat(data[n]) if data[n] else None for n in _TIMES}
    plain["superseded"] = tuple(data["superseded"])
    return Connection(
        incarnation=incarnation,
        state=State(packing.string(values, "state")),
        step=Step(step) if step else None,
        active=Studio(data["active"]),
        course=Course(data["course"]) if data["course"] else None,
        bond=_bond(data["bond"]),
        error=JobError(**data["error"]) if data["error"] else None,
        warnings=tuple(JobError(**warning) for warning in data["warnings"]),
        **times,
        **plain,
    )


def _bond(data: dict[str, Any] | None) -> Bond | None:
    return Bond(**{**data, "studio": StudioKind(data["studio"])}) if data else None


def _time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
