"""The examples of README.md run as they are printed, one after the other, against the app; only ports differ."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from samples.server import Server

ROOT = Path(__file__).parents[2]
SECTION = "The API by example"
PORT, AZURITE_PORT = "7071", "10000"


def section() -> str:
    text = (ROOT / "README.md").read_text("utf-8")
    return text.split(f"## {SECTION}\n", 1)[1].split("\n## ", 1)[0]


def examples() -> list[tuple[str, str]]:
    """(language, code) of each block, in order."""
    return re.findall(r"^```(python|bash)\n(.*?)^```$", section(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def server(tmp_path):
    """What `make run` starts, on free ports."""
    with Server(0, 0, tmp_path) as running:
        yield running


def run(language: str, code: str, before: str) -> subprocess.CompletedProcess[str]:
    """`before`: shell blocks above, whose variables and functions a later one uses; they are not run again."""
    if language == "python":
        command = [sys.executable, "-W", "error", "-c", code]
    else:
        declared = "\n".join(re.findall(r"^(?:export .*|api\(\) .*)$", before, re.MULTILINE))
        command = ["bash", "-euo", "pipefail", "-c", f"{declared}\n{code}"]
    return subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.timeout(240)
def test_every_example_of_the_readme_runs(server):
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    azurite_port = re.search(r":(\d+)/devstoreaccount1", server.connection_string)
    assert azurite_port
    answers: list[str] = []
    before = ""
    for language, printed in examples():
        code = printed.replace(f"http://127.0.0.1:{PORT}", server.url)
        code = code.replace(f"127.0.0.1:{AZURITE_PORT}/", f"127.0.0.1:{azurite_port[1]}/")
        done = run(language, code, before)
        assert done.returncode == 0, f"{code}\n--- said:\n{done.stdout}\n{done.stderr}"
        answers.append(done.stdout)
        before += code if language == "bash" else ""
    _, created, reviewed, trained, counted = answers
    assert '"projectName":"requests"' in created
    assert "succeeded {'suggested': 3" in reviewed
    assert trained.strip() == "['first']"
    assert '"labeled":9' in counted
    assert counted.lower().count("operation-location: http://") == 2


def test_the_examples_name_the_ports_of_make_run():
    code = "".join(text for _, text in examples())
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", code)) == {PORT, AZURITE_PORT}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"PORT ?= {PORT}\nAZURITE_PORT ?= {AZURITE_PORT}\n" in makefile


def test_both_languages_are_shown():
    assert {language for language, _ in examples()} == {"python", "bash"}
