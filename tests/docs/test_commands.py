"""Commands of the documentation: with the test that runs each or the reason why none does; those of `azd`, `az`, `func`
and `docker` with their public pages.
"""

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AZD = "https://learn.microsoft.com/azure/developer/azure-developer-cli/reference"
AZ = "https://learn.microsoft.com/cli/azure"
FUNC = "https://learn.microsoft.com/azure/azure-functions/functions-core-tools-reference"
#: What the documentation and the hook of the deployment call, and where it is documented.
PAGES = {
    "azd auth login": f"{AZD}#azd-auth-login",
    "azd deploy": f"{AZD}#azd-deploy",
    "azd down": f"{AZD}#azd-down",
    "azd env new": f"{AZD}#azd-env-new",
    "azd env set": f"{AZD}#azd-env-set",
    "azd hooks run": f"{AZD}#azd-hooks-run",
    "azd up": f"{AZD}#azd-up",
    "az account get-access-token": f"{AZ}/account#az-account-get-access-token",
    "az cloud show": f"{AZ}/cloud#az-cloud-show",
    "az eventgrid system-topic event-subscription create": (
        f"{AZ}/eventgrid/system-topic/event-subscription#az-eventgrid-system-topic-event-subscription-create"
    ),
    "az eventgrid system-topic event-subscription delete": (
        f"{AZ}/eventgrid/system-topic/event-subscription#az-eventgrid-system-topic-event-subscription-delete"
    ),
    "az eventgrid system-topic event-subscription list": (
        f"{AZ}/eventgrid/system-topic/event-subscription#az-eventgrid-system-topic-event-subscription-list"
    ),
    "az functionapp flex-migration start": (
        f"{AZ}/functionapp/flex-migration#az-functionapp-flex-migration-start"
    ),
    "az functionapp keys list": f"{AZ}/functionapp/keys#az-functionapp-keys-list",
    "az functionapp show": f"{AZ}/functionapp#az-functionapp-show",
    "az keyvault recover": f"{AZ}/keyvault#az-keyvault-recover",
    "az login": f"{AZ}/reference-index#az-login",
    "az role assignment delete": f"{AZ}/role/assignment#az-role-assignment-delete",
    "az role assignment list": f"{AZ}/role/assignment#az-role-assignment-list",
    "az storage container immutability-policy lock": (
        f"{AZ}/storage/container/immutability-policy#az-storage-container-immutability-policy-lock"
    ),
    "az storage container immutability-policy show": (
        f"{AZ}/storage/container/immutability-policy#az-storage-container-immutability-policy-show"
    ),
    "docker build": "https://docs.docker.com/reference/cli/docker/buildx/build/",
    "func azure functionapp publish": f"{FUNC}#func-azure-functionapp-publish",
    "func start": f"{FUNC}#func-start",
}
#: Commands of this repository and of installers; each with the test that runs it, or how its parts are tested.
TESTED = {
    "make bench": "tests/scale/test_short_bench.py and tests/scale/test_bench_report.py run its steps and its report",
    "make bench-compare": "tests/docs/test_commands.py",
    "make bench-engines": "minutes: tests/data_sets/test_floors.py holds what it measures, on parts of its data",
    "make bench-idle": "9 minutes: tests/scale/test_calls.py counts the calls of an idle sweep",
    "make bench-memory": "minutes: tests/scale/test_scale.py imports and exports files of the same form",
    "make compare-storage": "minutes: tests/contract/test_clients_agree.py, with fewer examples",
    "make demo": "tests/demo/test_demo.py runs its program",
    "make doctor": "tests/tooling/test_check_settings.py runs its program",
    "make format": "changes files: `ruff check` and `ruff format` of `make lint`",
    "make install": "tests/tooling/test_bootstrap.py runs its script",
    "make lint": "runs before every merge, by .ci/run",
    "make requirements": "needs a registry",
    "make run": "tests/tooling/test_real_run.py",
    "make test": "tests/tooling/test_runner.py runs its program",
    "make test-llm": "builds a server for up to an hour",
    "make web": "tests/tooling/test_web.py runs its script",
    "pip install": "tests/tooling/test_install_cli.py, by uv",
    "pipx install": "tests/tooling/test_install_cli.py, by uv",
    "pipx run": "tests/tooling/test_install_cli.py, by uvx",
    "python -m bench": "tests/scale/test_bench_report.py and tests/scale/test_short_bench.py",
    "python -m bench.during_fit": "minutes: prints times; tests/integration/engines/test_fits.py holds when fits run",
    "python -m bench.engine_memory": "minutes: prints peaks; tests/unit/engines/test_worker.py holds what bounds them",
    "python -m bench.engines_speed": "minutes: prints times, which no test holds",
    "python -m bench.packed_texts": "minutes: prints times, which no test holds",
    "python -m bench.vectors": "minutes: prints times, which no test holds",
    "python -m devhost events": "tests/docs/test_examples.py",
    "python -m devhost host": "tests/docs/test_commands.py",
    "python -m labelbridge": "tests/cli/terminal.py starts it",
    "python -m pytest": "every run of the tests",
    "python -m samples.webhook_receiver": "tests/docs/test_events.py",
    "python -m scripts.pictures": "minutes, in a browser: writes the pictures of docs/images",
    "python -m scripts.unasync": "tests/cli/test_client_openapi.py compares its output",
    "python -m tests.docs.tables": "tests/docs/test_reference.py compares its output",
    "uv tool": "tests/tooling/test_install_cli.py",
    "uvx": "tests/tooling/test_install_cli.py",
}
OURS = re.compile(
    r"(?<![\w./-])(?:\.venv/bin/)?(make [a-z-]+|python3? -m [a-z_.]+(?: (?:events|host)\b)?"
    r"|(?:pip|pipx|npm|uv) [a-z]+|uvx)(?![\w/])"
)
CODE = re.compile(r"^```.*?^```$|`[^`]+`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<![\w./-])((?:azd|az|func|docker)(?: [a-z][a-z-]*)+)")


def ours() -> set[str]:
    """The commands of all code in the documentation that TESTED is about."""
    found: set[str] = set()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for code in CODE.findall(page.read_text("utf-8")):
            # A comment in a block is no command.
            lines = (re.sub(r"(?:^|\s)#.*", "", line) for line in code.splitlines())
            found.update(name for line in lines for name in OURS.findall(line))
    return found


def recipe(target: str, **variables: str) -> list[str]:
    """The last command of a target of the Makefile."""
    given = [f"{name}={value}" for name, value in variables.items()]
    printed = subprocess.run(
        ["make", "-n", "--no-print-directory", target, *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    return shlex.split(printed.strip().splitlines()[-1].removeprefix("exec "))


def test_every_command_of_this_repository_has_its_test_or_a_reason():
    assert ours() == set(TESTED)
    files = {name for reason in TESTED.values() for name in re.findall(r"tests/\S+\.py", reason)}
    assert {name for name in files if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("target", [name for name in TESTED if name.startswith("make bench")])
def test_each_bench_of_the_documentation_is_there(target: str):
    _, option, module, *_ = recipe(target.removeprefix("make "))
    assert (option, module.split(".")[0]) == ("-m", "bench")
    assert find_spec(module) is not None


def test_a_bench_is_repeated_as_the_documentation_says():
    assert recipe("bench")[-2:] == ["--repeat", "1"]
    assert recipe("bench", REPEAT="3")[-2:] == ["--repeat", "3"]


def test_the_local_host_lists_its_options():
    command = [sys.executable, "-m", "devhost", "host", "--help"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "--enable-auth" in printed


def test_results_are_compared_by_the_line_of_the_documentation(tmp_path: Path):
    figure = {"value": 10.0, "host_cpu": 1.0, "azurite_cpu": 2.0}
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps({"figures": {"import": figure}}))
    new.write_text(json.dumps({"figures": {"import": figure | {"value": 25.0}}}))
    command = recipe("bench-compare", OLD=str(old), NEW=str(new))
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert printed.splitlines()[1].split() == ["import", "10", "25", "2.50", "1.00", "1.00"]


def commands() -> set[str]:
    """The commands of all code in the documentation, and of the scripts of the deployment."""
    found: set[str] = set()
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        for code in CODE.findall(page.read_text("utf-8")):
            found.update(COMMAND.findall(" ".join(code.split())))
    for script in sorted(ROOT.glob("infra/*.sh")):
        lines = (line.partition("#")[0] for line in script.read_text("utf-8").splitlines())
        found.update(command for line in lines for command in COMMAND.findall(line))
    return found


def documented(command: str) -> str:
    """The command of the table that it calls, without its arguments; "" when there is no such command."""
    return next((known for known in PAGES if f"{command} ".startswith(f"{known} ")), "")


def test_every_command_has_its_page() -> None:
    found = commands()
    assert len(found) > 15
    assert sorted(command for command in found if not documented(command)) == []
    assert {documented(command) for command in found} == set(PAGES), "no page is listed for nothing"


def test_the_pages_are_those_of_the_publishers() -> None:
    for command, page in PAGES.items():
        tool = command.partition(" ")[0]
        publisher = "docs.docker.com" if tool == "docker" else "learn.microsoft.com"
        assert page.startswith(f"https://{publisher}/"), command
