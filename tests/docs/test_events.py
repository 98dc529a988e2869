"""docs/events.md: its code checks real signatures, and its tables are those of the app."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from samples import webhook_receiver
from shared.domain.names import EventType
from shared.events.delivery import MAX_ATTEMPTS, PAUSES
from shared.events.receivers import signature
from shared.wire.events import MAX_EVENT_DOCUMENTS, CloudEventModel

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")
SECRET, BODY = "s" * 32, b'{"id": "1"}'


def test_the_code_of_the_page_checks_signatures():
    [code] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    is_genuine, now = names["is_genuine"], int(time.time())
    good = signature([SECRET], now, BODY)
    assert is_genuine(signature([SECRET], now, BODY), BODY, SECRET)
    assert is_genuine(signature(["other", SECRET], now, BODY), BODY, SECRET)
    assert not is_genuine(signature(["other"], now, BODY), BODY, SECRET)
    assert not is_genuine(signature([SECRET], now, BODY), BODY + b" ", SECRET)
    assert not is_genuine(signature([SECRET], now - 600, BODY), BODY, SECRET)
    for header in forged_headers(now, good):
        assert not is_genuine(header, BODY, SECRET)


def forged_headers(now: int, good: str) -> list[str]:
    """What may come in place of a signature: nothing, parts of one, and what is not ASCII or not a number."""
    numbers = ("", "x", "²", "٣", "-1", "1e9", "9" * 5_000, f" {now}", "\ud800")
    values = ("", "y", "é" * 64, "\udc80", "\0", good[-63:], f"{good[-64:]}0")
    parts = [f"t={now},v1={value}" for value in values] + [f"t={number},{good[-67:]}" for number in numbers]
    return [
        "",
        "t=",
        f"t={now}",
        f"v1={now}",
        "v1",
        ",",
        "=",
        "é",
        good[-67:],
        f"t={now};{good[-67:]}",
        *parts,
    ]


def test_the_sample_checks_signatures_as_the_page_does():
    now = int(time.time())
    good = signature([SECRET], now, BODY)
    assert webhook_receiver.is_genuine(good, BODY, SECRET, now)
    for header in forged_headers(now, good):
        assert not webhook_receiver.is_genuine(header, BODY, SECRET, now)


def test_every_type_is_described():
    assert re.findall(r"^\| `(Labelbridge\.\w+)` \|", PAGE, re.MULTILINE) == [
        kind.value for kind in EventType
    ]
    assert f"up to {MAX_EVENT_DOCUMENTS} of" in PAGE


def test_the_example_is_an_event_of_the_app():
    shown = json.loads(re.findall(r"^```json\n({.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0])
    CloudEventModel.model_validate(shown)
    assert set(shown) == {field.alias or name for name, field in CloudEventModel.model_fields.items()}


def test_the_table_of_attempts_is_that_of_the_app():
    [line] = re.findall(r"^\| after \| at once \|(.*)\|$", PAGE, re.MULTILINE)
    units = {"s": 1, "min": 60, "h": 3600}
    shown = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", line)]
    assert tuple(shown) == PAUSES
    assert MAX_ATTEMPTS == 10
    hours, minutes = divmod(round(sum(PAUSES) / 60), 60)
    assert f"{hours} h {minutes} min after the first" in PAGE


def test_the_command_of_the_receiver_runs_as_printed(tmp_path):
    """But for the secret and the port: it takes a signed event, prints it once, and ends with Ctrl-C."""
    [line] = re.findall(
        r"^(WEBHOOK_SECRET=\.\.\. python -m samples\.webhook_receiver .*)$", PAGE, re.MULTILINE
    )
    words = shlex.split(line.replace("events.db", str(tmp_path / "events.db")).replace("8080", "0"))
    variable, program, *arguments = words
    assert (variable, program) == ("WEBHOOK_SECRET=...", "python")
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | {"WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it may be ignored here
    ) as receiver:  # fmt: skip
        try:
            url = first_line(receiver).split()[-1]
            body = b'{"source": "s", "id": "1"}'
            for secret, status in ((SECRET, 204), (SECRET, 204), ("other", 401)):
                headers = {"Labelbridge-Signature": signature([secret], int(time.time()), body)}
                assert httpx.post(url, content=body, headers=headers, timeout=60).status_code == status
            receiver.send_signal(signal.SIGINT)
            out, _ = receiver.communicate(timeout=60)
            assert (out, receiver.returncode) == ('{"source": "s", "id": "1"}\n', 0)
        finally:
            receiver.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """What it says first on stderr. A process that says nothing for two minutes is ended."""
    silent = threading.Timer(120, process.kill)
    silent.start()
    try:
        assert process.stderr
        line = process.stderr.readline()
        assert line, "the process ended, or said nothing for two minutes"
        return line
    finally:
        silent.cancel()
