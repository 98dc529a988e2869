"""The template that the Bicep files compile to."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.lint_infra import compiler, run

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


@cache
def template(home: Path) -> dict[str, Any]:
    """`infra/main.bicep` as JSON; skips the test where there is no compiler."""
    program = compiler()
    if program is None:
        pytest.skip("the Bicep compiler is neither in ../shared/bicep nor on the path")
    result = run(program, home, "build", str(INFRA / "main.bicep"), "--stdout")
    assert result.returncode == 0, result.stderr
    built: dict[str, Any] = json.loads(result.stdout)
    return built


def resources(built: dict[str, Any]) -> list[dict[str, Any]]:
    """All resources of the template and of its modules."""
    found: list[dict[str, Any]] = []
    given = built["resources"]
    for resource in given.values() if isinstance(given, dict) else given:
        found.append(resource)
        if resource["type"] == "Microsoft.Resources/deployments":
            found += resources(resource["properties"]["template"])
    return found


def named(built: dict[str, Any], kind: str) -> set[str]:
    """The last part of the names of the resources of a type, as the template writes them."""
    return {resource["name"] for resource in resources(built) if resource["type"] == kind}
