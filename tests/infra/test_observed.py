"""The workbook and the alerts read what the app records: names and attributes of metrics; and blob containers."""

import ast
import json
import re
from functools import cache
from pathlib import Path

from shared.domain.jobs import JobKind, JobStatus
from shared.domain.names import Names
from tests.infra.compiled import INFRA, ROOT, named, resources, template

APP = sorted(file for folder in ("functions", "shared") for file in (ROOT / folder).glob("**/*.py"))
OPERATE = (ROOT / "docs/operate.md").read_text("utf-8")


@cache
def trees() -> list[ast.Module]:
    return [ast.parse(file.read_text("utf-8")) for file in APP]


@cache
def constants() -> dict[str, str]:
    """Texts that modules give a name, by that name."""
    assigned = [node for tree in trees() for node in tree.body if isinstance(node, ast.Assign)]
    return {
        target.id: node.value.value
        for node in assigned
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@cache
def recorded() -> dict[str, set[str]]:
    """The attributes of each metric that the code records through `shared.telemetry`."""
    found: dict[str, set[str]] = {}
    for call in (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call)):
        method = ast.unparse(call.func)
        if method in {"telemetry.count", "telemetry.measure", "telemetry.timed"}:
            name = call.args[0]
            text = str(name.value) if isinstance(name, ast.Constant) else constants()[ast.unparse(name)]
            metric = f"labelbridge.{text}.duration" if method == "telemetry.timed" else text
            found.setdefault(metric, set()).update(keyword.arg for keyword in call.keywords if keyword.arg)
    return found


def queries(home: Path) -> dict[str, str]:
    """The queries of the alerts and of the tiles of the workbook, by their name."""
    [alerts] = [resource for resource in resources(template(home)) if resource["name"] == "alerts"]
    found = {rule["name"]: rule["query"] for rule in alerts["properties"]["template"]["variables"]["rules"]}
    for item in json.loads((INFRA / "workbook.json").read_text("utf-8"))["items"]:
        if item["content"]["version"] == "KqlItem/1.0":
            found[item["name"]] = item["content"]["query"]
    return found


def metrics_of_the_app(home: Path) -> dict[str, str]:
    """The queries, but for those of a metric of Azure."""
    return {name: query for name, query in queries(home).items() if not query.startswith("AzureMetrics")}


def test_queries_read_metrics_that_are_recorded(home: Path) -> None:
    read = metrics_of_the_app(home)
    assert len(read) >= 20
    for name, query in read.items():
        [metric] = re.findall(r'Name == "([^"]+)"', query)
        assert metric in recorded(), name
        assert set(re.findall(r"\bp\.(\w+)", query)) <= recorded()[metric], name


def test_values_that_queries_look_for_exist(home: Path) -> None:
    known = {*map(str, JobKind), *map(str, JobStatus)}
    for name, query in queries(home).items():
        conditions = query.partition("where p.")[2]
        assert set(re.findall(r'"([^"]+)"', conditions)) <= known, name


def test_events_that_were_not_delivered_are_shown_as_the_alert_counts_them(home: Path) -> None:
    [azure] = [query for query in queries(home).values() if query.startswith("AzureMetrics")]
    [alert] = [
        resource
        for resource in resources(template(home))
        if resource["type"] == "Microsoft.Insights/metricAlerts"
    ]
    [condition] = alert["properties"]["criteria"]["allOf"]
    assert f'MetricName == "{condition["metricName"]}"' in azure
    [sent] = [
        resource for resource in resources(template(home)) if resource["type"].endswith("/diagnosticSettings")
    ]
    assert "Microsoft.EventGrid/systemTopics" in sent["scope"]
    assert sent["properties"]["metrics"] == [{"category": "AllMetrics", "enabled": True}]


def test_every_metric_is_shown_in_the_workbook_or_alerts(home: Path) -> None:
    shown = metrics_of_the_app(home).values()
    read = {metric for query in shown for metric in re.findall(r'Name == "([^"]+)"', query)}
    assert read == set(recorded())


def test_metrics_are_documented() -> None:
    table = OPERATE.partition("## Metrics")[2].partition("## Health")[0]
    rows = re.findall(r"^\| (`labelbridge.*?) \|.*\| (.*?) \|$", table, re.MULTILINE)
    documented = {
        metric: set(re.findall(r"`(\w+)`", attributes))
        for metrics, attributes in rows
        for metric in re.findall(r"`([^`]+)`", metrics)
    }
    assert documented == recorded()


def test_every_alert_says_what_to_do(home: Path) -> None:
    built = template(home)
    [alerts] = [resource for resource in resources(built) if resource["name"] == "alerts"]
    names = {rule["name"] for rule in alerts["properties"]["template"]["variables"]["rules"]}
    [dead] = named(built, "Microsoft.Insights/metricAlerts")
    names.add(dead.removeprefix("[format('labelbridge-").partition("-{0}")[0])
    table = OPERATE.partition("## Alerts")[2]
    assert set(re.findall(r"^\| ([a-z-]+) \|", table, re.MULTILINE)) - {"alert"} == names


def test_containers_are_those_of_the_code(home: Path) -> None:
    """Beside those of the documents: the code's, the one of the hook, and the one that the package is deployed to."""
    created = named(template(home), "Microsoft.Storage/storageAccounts/blobServices/containers")
    given = "parameters('tablePrefix')"
    last = {name.removesuffix("]").partition(", 'default', ")[2].removesuffix(")") for name in created}
    suffixes = {
        match[1]
        for match in (
            re.fullmatch(rf"format\('\{{0\}}(-[\w-]+)', {re.escape(given)}\)", part) for part in last
        )
        if match
    }
    assert len(last) == 2 + len(suffixes)
    assert {given, "parameters('documentsContainers')[copyIndex()]"} <= last
    source = "".join(file.read_text("utf-8") for file in APP)
    ours = set(re.findall(r'names\.prefix\}(-[\w-]+)"', source))
    hook = set(re.findall(r"\$prefix(-[\w-]+)", (INFRA / "postdeploy.sh").read_text("utf-8")))
    assert Names("labels").container == "labels"
    assert ours == {"-tombstones"}
    assert suffixes == ours | hook | {"-package"}
    assert all(Names("labels").is_ours(f"labels{suffix}") for suffix in suffixes)
