"""Commands that no test runs: of `azd`, `az`, `func` and `docker` with their public pages; benches with a reason."""

import json
import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

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
#: Targets that measure, for minutes to hours; each with how its parts are tested.
MEASURED = {
    "bench": "tests/scale/test_short_bench.py and test_bench_report.py run its steps and its report",
    "bench-compare": "runs below",
    "bench-engines": "tests/data_sets holds what it measures, on parts of the same data sets",
    "bench-idle": "tests/scale/test_calls.py counts the calls of an idle sweep",
    "bench-memory": "tests/scale/test_limits.py imports files of the same form",
}
CODE = re.compile(r"^```.*?^```$|`[^`]+`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<![\w./-])((?:azd|az|func|docker)(?: [a-z][a-z-]*)+)")


def measured() -> set[str]:
    """The `make bench...` of all code in the documentation."""
    pages = "".join(page.read_text("utf-8") for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    return {name for code in CODE.findall(pages) for name in re.findall(r"\bmake (bench[a-z-]*)", code)}


def recipe(target: str, **variables: str) -> list[str]:
    """The last command of a target of the Makefile."""
    given = [f"{name}={value}" for name, value in variables.items()]
    printed = subprocess.run(
        ["make", "-n", target, *given], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return shlex.split(printed.strip().splitlines()[-1].removeprefix("exec "))


def test_each_bench_of_the_documentation_is_there():
    assert measured() == set(MEASURED)
    for target in MEASURED:
        _, option, module, *_ = recipe(target)
        assert (option, module.split(".")[0]) == ("-m", "bench")
        assert find_spec(module) is not None
    files = {name for reason in MEASURED.values() for name in re.findall(r"tests/\S+\.py", reason)}
    assert all((ROOT / name).is_file() for name in files)


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
