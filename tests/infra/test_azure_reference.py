"""`docs/reference/azure.md` names each resource type with its version, each role and each type of event of `infra/`."""

import re
from collections import Counter
from pathlib import Path

from tests.infra.compiled import INFRA, ROOT, named, resources, template
from tests.infra.test_infra import HOOK, ROLES

PAGE = (ROOT / "docs/reference/azure.md").read_text("utf-8")
TEMPLATES = "https://learn.microsoft.com/azure/templates"


def test_every_resource_type_has_the_page_of_its_version() -> None:
    files = "".join(file.read_text("utf-8") for file in INFRA.glob("**/*.bicep"))
    used = set(re.findall(r"'(Microsoft\.[\w./]+)@([\w-]+)'", files))
    rows = re.findall(r"^\| `(Microsoft\.[\w./]+)` \| \[([\w-]+)\]\((\S+)\) \|", PAGE, re.MULTILINE)
    assert [(kind, version) for kind, version, _ in rows] == sorted(used)
    for kind, version, page in rows:
        provider, _, name = kind.lower().partition("/")
        # A type whose resources have fixed names has a page for each.
        ending = "-ftp" if name == "sites/basicpublishingcredentialspolicies" else ""
        assert page == f"{TEMPLATES}/{provider}/{version}/{name}{ending}"


def test_every_role_and_type_of_event_is_named() -> None:
    assert dict(re.findall(r"^\| \[([\w ]+)\]\(\S+\) \| `([\w-]+)` \|$", PAGE, re.MULTILINE)) == {
        name: role for role, name in ROLES.items()
    }
    events = PAGE.partition("## Types of events")[2].partition("## ")[0]
    assert set(re.findall(r"Microsoft\.Storage\.(\w+)", HOOK)) == set(re.findall(r"`([A-Z]\w+)`", events))


def test_the_figures_are_those_of_the_template(home: Path) -> None:
    """What each of them is held to is in the other files of this folder."""
    every = resources(template(home))
    count = Counter(resource["type"].removeprefix("Microsoft.") for resource in every)
    [site] = [resource for resource in every if resource["type"] == "Microsoft.Web/sites"]
    [alerts] = [resource for resource in every if resource["name"] == "alerts"]
    storage = "Storage/storageAccounts"
    figures = {
        "resources, with those of all modules": len(every),
        "app settings": len(site["properties"]["siteConfig"]["appSettings"]),
        "queues": count[f"{storage}/queueServices/queues"],
        "tables": count[f"{storage}/tableServices/tables"],
        "containers": len(named(template(home), f"Microsoft.{storage}/blobServices/containers")),
        "role assignments": count["Authorization/roleAssignments"],
        "functions that events lead to": len(set(re.findall(r"(?:Functions\.|functions/)(\w+)", HOOK))),
        "types of events in filters": len(set(re.findall(r"Microsoft\.Storage\.\w+", HOOK))),
        "alerts": len(alerts["properties"]["template"]["variables"]["rules"])
        + count["Insights/metricAlerts"],
    }
    rows = re.findall(r"^\| ([a-z][\w ,]+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert {name: int(number) for name, number in rows} == figures
