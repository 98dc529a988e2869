"""Timer triggers: schedules, what is remembered of them, and who runs them."""

import json
import signal
from datetime import datetime, timedelta

import pytest

from devhost.settings import HostError
from devhost.timers import Schedule, now
from tests.devhost.support import running_host, unique, until

STATUS = "timers/{host}/Host.Functions.{function}/status"


def status_blob(storage, host_id, function):
    return storage.container("azure-webjobs-hosts").get_blob_client(
        STATUS.format(host=host_id, function=function)
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("*/15 * * * * *", "2026-03-02T10:00:15"),
        ("0 */10 * * * *", "2026-03-02T10:10:00"),
        ("30 5 10 * * *", "2026-03-02T10:05:30"),
        ("0 30 9 * * 1-5", "2026-03-03T09:30:00"),
        ("5 * * * *", "2026-03-02T10:05:00"),
        ("0 0 0 13 * FRI", "2026-03-13T00:00:00"),  # both must fit: Friday the 13th
        ("00:00:40", "2026-03-02T10:00:40"),
    ],
)
def test_schedules(expression, following):
    assert Schedule(expression).next(at("2026-03-02T10:00:00")) == at(following)


@pytest.mark.parametrize("expression", ["", "* * *", "0 0 25 * * *", "x * * * * *"])
def test_schedules_that_are_wrong(expression):
    with pytest.raises(HostError):
        Schedule(expression)


@pytest.mark.parametrize(
    ("expression", "monitored"), [("*/59 * * * * *", False), ("0 * * * * *", True), ("00:00:30", False)]
)
def test_schedules_under_a_minute_are_not_remembered(expression, monitored):
    assert Schedule(expression).is_monitored() is monitored


def test_unmonitored_timer_runs_without_a_status(host, storage):
    until(lambda: len(host.traces("tick")) >= 2)
    assert all(seen["past_due"] is False and seen["status"] == {} for seen in host.traces("tick"))
    assert not status_blob(storage, host.environment["AzureFunctionsWebHost__hostid"], "tick").exists()


def test_first_start_remembers_the_schedule_and_runs_nothing(host, storage):
    blob = status_blob(storage, host.environment["AzureFunctionsWebHost__hostid"], "nightly")
    until(blob.exists)
    status = json.loads(blob.download_blob().readall())
    assert status["Last"].startswith("0001-01-01")
    assert at(status["Next"]) > now()
    assert not host.traces("nightly")


@pytest.mark.parametrize(
    ("moved", "runs"), [(timedelta(0), 1), (timedelta(hours=-1), 0)], ids=["missed", "changed"]
)
def test_missed_occurrence_runs_once_at_the_start(storage, tmp_path, moved, runs):
    host_id = unique("host")
    updated = now() - timedelta(days=3)
    following = Schedule("0 0 3 * * *").next(updated) + moved  # moved: written by another schedule
    stored = {"Last": updated.isoformat(), "Next": following.isoformat(), "LastUpdated": updated.isoformat()}
    blob = status_blob(storage, host_id, "nightly")
    blob.upload_blob(json.dumps(stored))
    with running_host(storage, tmp_path, AzureFunctionsWebHost__hostid=host_id) as host:
        until(lambda: json.loads(blob.download_blob().readall()) != stored)
        until(lambda: host.traces("tick"))
        assert [(seen["past_due"], seen["status"]["Next"]) for seen in host.traces("nightly")] == [
            (True, stored["Next"])
        ] * runs
        status = json.loads(blob.download_blob().readall())
        assert at(status["Next"]) > now()


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_one_of_two_hosts_runs_a_timer_and_the_other_takes_over(storage, tmp_path, killed):
    """A host that is killed leaves its lease: it runs out after 15 s, and the other host asks every 15 s."""
    shared = unique("host")
    with (
        running_host(storage, tmp_path / "1", AzureFunctionsWebHost__hostid=shared) as first,
        running_host(storage, tmp_path / "2", AzureFunctionsWebHost__hostid=shared) as second,
    ):
        until(lambda: len(second.traces("tick")) + len(first.traces("tick")) >= 3)
        idle, busy = sorted((first, second), key=lambda host: len(host.traces("tick")))
        assert idle.traces("tick") == []
        busy.signal(signal.SIGKILL if killed else signal.SIGTERM)
        busy.end()
        until(lambda: idle.traces("tick"), 45)


def test_timer_that_overran_runs_once_at_once_and_never_overlaps(storage, tmp_path):
    with running_host(storage, tmp_path, TICK_WAITS="gate") as host:
        (first,) = until(lambda: host.traces("tick"))
        until(lambda: datetime.now().astimezone().timestamp() > int(first["at"]) + 1.2)
        assert len(host.traces("tick")) == 1
        host.touch("gate")
        second, third = until(lambda: host.traces("tick")[1:3] if len(host.traces("tick")) > 2 else [])
        assert second["at"] % 1 > 0.05  # at once, not at the next full second
        assert int(third["at"] + 0.05) > int(second["at"])  # and the slots that passed meanwhile are gone
