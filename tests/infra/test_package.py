"""What a deployment takes is enough to load the app, and the Dockerfile copies the same."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {"function_app.py", "functions", "host.json", "requirements.txt", "shared", "web"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files that `.funcignore`, whose patterns are those of `.gitignore`, leaves of the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    built = ["web/dist/index.html", "web/dist/assets/main.js"]  # made by `make web`
    files = sorted({*filter(None, listed), *built, ".venv/bin/python", "local.settings.json"})
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    shutil.copy(ROOT / ".funcignore", folder / ".gitignore")
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=folder,
        input="\0".join(files),
        capture_output=True,
        text=True,
        check=True,
    )
    ignored = set(done.stdout.split("\0"))
    return [file for file in files if file not in ignored]


def test_the_package_is_complete(packed: list[str], tmp_path: Path) -> None:
    for file in packed:
        if (ROOT / file).exists():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
    program = (
        "import json, function_app\n"
        "from shared.runtime.container import container\n"
        "from shared.engines.worker import main\n"
        "app = container()\n"
        "for name in ('dispatcher', 'maintenance', 'queue_sweep', 'connection'): getattr(app, name)\n"
        "app.engines.get('embedded')\n"
        "print(json.dumps(len(function_app.app.get_functions())))"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "API_KEYS": json.dumps([{"name": "k", "sha256": "0" * 64, "roles": ["*"]}]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) >= 80


def test_the_dockerfile_copies_what_the_package_holds(packed: list[str]) -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    for name in copied:
        assert any(file == name or file.startswith(f"{name}/") for file in packed), name
    assert {name.split("/")[0] for name in copied} == TOP
    assert "3.13" in re.findall(r"^FROM (\S+)$", text, re.MULTILINE)[0]
