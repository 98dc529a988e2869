"""The repository can be installed anywhere, and contains no machine-specific names."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ["requirements.txt", "requirements-dev.txt", "requirements-cli.txt"]

# One letter of each is a class, so that this file does not contain what it forbids.
MACHINE_PATHS = re.compile(r"/[r]oot/|/[w]ork/|/[h]ome/\w+/|/[U]sers/\w+/|C:\\[U]sers")
REGISTRIES = re.compile(
    r"registry\.[n]pmjs|registry\.[y]arnpkg|files\.[p]ythonhosted|pypi\.(org|python\.org)/[s]imple"
    r"|--[i]ndex-url|--[f]ind-links"
)


def tracked() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone: there is no list of the files that belong to it")
    return tracked()


def found(pattern: re.Pattern[str], files: list[Path]) -> dict[str, str]:
    hits = {path.relative_to(ROOT).as_posix(): pattern.search(text(path)) for path in files}
    return {name: hit.group() for name, hit in hits.items() if hit}


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        (MACHINE_PATHS, ("/ro", "ot/x")),
        (MACHINE_PATHS, ("/ho", "me/ann/x")),
        (REGISTRIES, ("registry.", "npmjs.org")),
        (REGISTRIES, ("--find", "-links /opt")),
    ],
)
def test_the_patterns_see_what_they_forbid(pattern, parts):
    assert pattern.search("".join(parts))


def test_no_machine_path(files):
    assert not found(MACHINE_PATHS, files)


def test_no_registry_address(files):
    assert not found(REGISTRIES, files)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_and_hashed(name):
    lines = re.sub(r"\\\n\s*", " ", text(ROOT / name)).splitlines()
    entries = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    pinned = re.compile(r"[a-z0-9.-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}")
    assert len(entries) > 20
    assert "://" not in text(ROOT / name), "an address: whoever installs chooses the index"
    assert not [line for line in entries if not pinned.match(line)]


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text(ROOT / name), re.MULTILINE))


def test_development_installs_what_is_deployed():
    deployed, development, command_line = (pins(name) for name in REQUIREMENTS)
    assert deployed.items() <= development.items()
    assert command_line["typer"] == development["typer"]


def test_development_tools_are_not_deployed():
    assert (
        not {"pytest", "ruff", "croniter", "azure-functions-runtime", "typer", "httpx"}
        & pins(REQUIREMENTS[0]).keys()
    )


@pytest.mark.parametrize("name", ["package-lock.json", "web/package-lock.json"])
def test_npm_lock_has_integrity_and_no_addresses(name):
    path = ROOT / name
    if not path.exists():
        assert not path.with_name("package.json").exists(), f"{path.parent} has packages and no lock"
        return
    packages = {key: value for key, value in json.loads(text(path))["packages"].items() if key}
    assert packages
    assert not [key for key, value in packages.items() if "resolved" in value]
    assert not [key for key, value in packages.items() if not ("integrity" in value or value.get("inBundle"))]


def test_local_sample_key_is_the_published_one():
    import hashlib

    values = json.loads(text(ROOT / "local.settings.sample.json"))["Values"]
    [key] = json.loads(values["API_KEYS"])
    assert key == {
        "name": "local",
        "sha256": hashlib.sha256(b"labelbridge-local").hexdigest(),
        "roles": ["*"],
    }
    assert all(isinstance(value, str) for value in values.values())


def test_the_host_has_no_route_prefix_and_poisons_after_five():
    host = json.loads(text(ROOT / "host.json"))
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert host["extensions"]["queues"]["maxDequeueCount"] == 5


def test_timers_go_on_soon_after_a_crash():
    """The lease of a timer belongs to the host that ended; another asks for it every 60 s by default."""
    host = json.loads(text(ROOT / "host.json"))
    assert host["singleton"] == {"listenerLockRecoveryPollingInterval": "00:00:15"}, (
        "the least that the host takes"
    )


LEFT_OUT = [
    ".ci/run",
    ".venv/a",
    "README.md",
    "bench/a.py",
    "devhost/a.py",
    "docs/a.md",
    "local.settings.json",
    "labelbridge/client/a.py",
    "node_modules/a",
    "requirements-cli.txt",
    "requirements-dev.txt",
    "samples/a.py",
    "scripts/a.sh",
    "tests/a.py",
    "web/package.json",
    "web/src/a.ts",
]
KEPT = [
    "function_app.py",
    "functions/a.py",
    "host.json",
    "requirements.txt",
    "shared/a/tests.py",
    "shared/samples/a.py",
    "web/dist/a.js",
]


def test_deployment_leaves_out_what_the_app_does_not_use(tmp_path):
    """The ignore rules of .funcignore are git's."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(text(ROOT / ".funcignore"))
    for name in LEFT_OUT + KEPT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    deployed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert sorted(deployed.split()) == sorted(KEPT)
