"""`make run` says everything that is wrong with the settings before it starts anything, and prints no value."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_settings import (
    APP,
    FILE,
    SAMPLE,
    data_dir_problems,
    local_problems,
    machine_problems,
    port_problems,
)
from tests.tooling.project import executable

SECRET = "AccountKey=c2VjcmV0"


def problems(tmp_path: Path, values: object, **environment: str) -> list[str]:
    """Of an app with these values in its local settings."""
    sample = json.loads((APP / SAMPLE).read_text("utf-8"))
    (tmp_path / SAMPLE).write_text(json.dumps(sample), "utf-8")
    if isinstance(values, dict):
        (tmp_path / FILE).write_text(json.dumps({"Values": sample["Values"] | values}), "utf-8")
    elif isinstance(values, str):
        (tmp_path / FILE).write_text(values, "utf-8")
    return local_problems(tmp_path, environment)


def test_the_sample_is_fine(tmp_path):
    assert problems(tmp_path, None) == []
    assert problems(tmp_path, {"SOMETHING_ELSE": "1"}, PATH="/bin", API_KEY="x", LANG="C") == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"AUTH_MODE": f"lokal{SECRET}"}, "AUTH_MODE must be 'local', 'entra' or 'easyauth'."),
        ({"API_KEYS": f"[{SECRET}"}, "API_KEYS is not valid JSON at line 1, column 2: a value must be "),
        (
            {"API_KEYS": f'[{{"name": "x", "sha256": "{SECRET}", "roles": []}}]'},
            "API_KEYS[0].sha256 must match",
        ),
        ({"TABLE_PREFIX": SECRET}, "TABLE_PREFIX must match"),
        ({"COLLECT_WINDOW_SECONDS": SECRET}, "COLLECT_WINDOW_SECONDS must be an integer."),
        ({"COLLECT_WINDOW_SECONDS": "301"}, "COLLECT_WINDOW_SECONDS must be 300 or less."),
        (
            {"DEFAULT_ENGINE": SECRET},
            "DEFAULT_ENGINE is not an engine of this app; choose one of azure-language, azure-openai, embedded, "
            "or a name in EXTRA_ENGINES.",
        ),
        ({"AzureWebJobsStorage": ""}, "Set AzureWebJobsStorage"),
        ({"WEBSITE_SITE_NAME": "site"}, "AUTH_MODE=local is not allowed on Azure"),
        ({"AUHT_MODE": SECRET}, "Unknown setting AUHT_MODE, did you mean AUTH_MODE?"),
        ("{", f"{FILE}: not valid JSON: "),
        ("[]", f"{FILE}: it must be an object"),
        ('{"Values": {"PORT": 1}}', f"{FILE}: the values must be strings: PORT."),
    ],
)
def test_what_is_wrong_is_named_without_its_value(tmp_path, values, said):
    [problem] = problems(tmp_path, values)
    assert said in problem
    assert SECRET not in problem


def test_a_misspelled_variable_of_the_environment_is_found(tmp_path):
    [problem] = problems(tmp_path, None, AUHT_MODE="entra")
    assert problem == "Unknown setting AUHT_MODE, did you mean AUTH_MODE?"


def test_all_problems_come_together(tmp_path):
    found = problems(tmp_path, {"AUTH_MODE": "x", "TABLE_PREFIX": "9", "TABEL_PREFIX": "x"})
    assert len(found) == 3


def test_a_broken_file_hides_no_other_problem(tmp_path):
    broken, unknown = problems(tmp_path, "{", AUHT_MODE="entra")
    assert broken.startswith(f"{FILE}: not valid JSON: ")
    assert unknown == "Unknown setting AUHT_MODE, did you mean AUTH_MODE?"


@pytest.mark.parametrize("port", ["abc", "99999", "", "-1", "\u0663", "70.5"])
def test_a_bad_port(port):
    assert port_problems(port, "10000") == ["PORT must be a number from 0 to 65535."]
    assert port_problems("7071", "10000") == port_problems("0", "0") == []


def test_azurite_has_three_ports():
    assert port_problems("7071", "65534") == ["AZURITE_PORT must be a number from 0 to 65533."]
    assert port_problems("65532", "65533") == []
    for port in ("10000", "10002"):
        [problem] = port_problems(port, "10000")
        assert problem == "PORT must not be one of Azurite's ports (10000 to 10002)."
    assert len(port_problems("abc", "abc")) == 2


def test_a_bad_data_dir(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert data_dir_problems(str(tmp_path / "new" / "folder")) == []
    assert "must not be empty" in data_dir_problems(" ")[0]
    assert "cannot be used" in data_dir_problems(str(tmp_path / "file"))[0]
    assert "cannot be used" in data_dir_problems(str(tmp_path / "file" / "below"))[0]
    assert data_dir_problems(str(tmp_path / ("x" * 300) / "below")) == [
        "DATA_DIR cannot be used: File name too long."
    ]


def test_a_data_dir_where_even_root_cannot_write():
    assert data_dir_problems("/proc/labelbridge") == [
        "DATA_DIR cannot be used: /proc is not a folder that you can write to."
    ]


def test_a_settings_file_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / FILE).write_bytes(b"\xff\xfe{")
    assert (
        local_problems(tmp_path, {})[0] == f"{FILE}: it must be UTF-8 text; save it again in that encoding."
    )
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    assert local_problems(tmp_path, {})[0] == f"{FILE}: cannot be read: Is a directory."


def test_a_data_dir_below_a_folder_that_cannot_be_entered(tmp_path, monkeypatch):
    """Root may enter every folder: what the system answers to others comes from here."""

    def refuse(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    assert data_dir_problems(str(tmp_path / "closed" / "data")) == [
        "DATA_DIR cannot be used: Permission denied."
    ]


def test_the_command_exits_with_2_and_one_message():
    command = [sys.executable, "-m", "scripts.check_settings", "--port", "abc", "--data-dir", ""]
    done = subprocess.run(
        command, cwd=APP, env={**os.environ, "AUTH_MODE": "x"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert [line.strip()[:8] for line in done.stderr.splitlines()[1:]] == ["- AUTH_M", "- PORT m", "- DATA_D"]


def test_make_run_checks_before_it_starts():
    makefile = (APP / "Makefile").read_text("utf-8")
    assert "\nrun: install checked-settings " in makefile


@pytest.mark.parametrize(
    ("node", "npm", "problem"),
    [
        ("echo v20.19.0", True, []),
        ("echo v22.3.0", True, []),
        ("echo v20.18.3", True, ["found: v20.18.3."]),
        ("echo v18.20.4", True, ["found: v18.20.4."]),
        ("exit 1", True, ["found: none."]),
        (None, True, ["found: none."]),
        ("echo v20.19.0", False, ["npm is not installed"]),
    ],
)
def test_doctor_names_what_the_machine_lacks(tmp_path, monkeypatch, node, npm, problem):
    if node is not None:
        executable(tmp_path / "node", f"#!/bin/sh\n{node}\n")
    if npm:
        executable(tmp_path / "npm", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = machine_problems()
    assert len(found) == len(problem)
    assert all(words in message for words, message in zip(problem, found, strict=True))


def test_doctor_names_another_python(monkeypatch):
    monkeypatch.setattr("sys.version_info", (3, 12, 9, "final", 0))
    assert "Python 3.13 is required" in machine_problems()[0]


def test_doctor_says_all_at_once_without_node(tmp_path):
    """As `make doctor` runs it: nothing that needs Node comes before the check."""
    [line] = re.findall(r"^doctor:.*\n\t@(.*)$", (APP / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert line == "scripts/bootstrap.sh python && exec $(CHECK) --machine"
    command = [sys.executable, "-m", "scripts.check_settings", "--machine", "--port", "abc"]
    environment = {**os.environ, "AUTH_MODE": "x", "PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=APP, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert [line.strip()[:8] for line in done.stderr.splitlines()[1:]] == ["- Node.j", "- AUTH_M", "- PORT m"]
