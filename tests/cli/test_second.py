"""A second review by command line: started, labeled in a terminal with one key for each class, compared."""

import asyncio

import pytest

from tests.cli.terminal import Cli, Terminal
from tests.integration.conftest import MakeProject
from tests.support.api import ENTITIES, MULTI, SINGLE, Project, label

NAMES = ("a.txt", "b.txt", "c.txt")


async def labeled(new_project: MakeProject, kind: str) -> Project:
    """Three documents that the local key's owner labeled Refund."""
    project = await new_project(kind)
    categories = {"value": [{"category": "Refund"}, {"category": "Login"}]}
    (await project.http.put(f"{project.path}/categories", json=categories)).raise_for_status()
    await project.upload(dict.fromkeys(NAMES, "Refund or Login"))
    await project.scan()
    await project.registered(len(NAMES))
    if kind != ENTITIES:
        for name in NAMES:
            await project.put_labels(name, label(kind, "Refund"))
    return project


@pytest.mark.parametrize("kind", [SINGLE, MULTI])
async def test_a_sample_is_labeled_with_keys_and_compared(cli: Cli, new_project: MakeProject, kind: str):
    project = await labeled(new_project, kind)
    lead = cli.signed_in(project.name)
    assert lead("second", "start", "reviewer", "--size", "3").out.endswith(": 3 documents for 'reviewer'.\n")
    owner, cli.key = cli.key, "reviewer"
    cli.signed_in()
    listed = cli("second", "documents", "--json").json
    assert [document["reviewed"] for document in listed] == [False] * 3
    go = "e" if kind == MULTI else ""

    def labels(terminal: Terminal) -> None:
        shown = terminal.shows("q quit")
        assert f"{listed[0]['location']}   3 to go" in shown
        assert "1  Refund\n2  Login" in shown
        assert "Refund or Login" in shown
        terminal.press("1" + go)
        terminal.shows(f"{listed[1]['location']}   2 to go")
        terminal.press("u")
        terminal.shows("Undone.")
        terminal.press("2" + go)
        terminal.shows(f"{listed[1]['location']}   2 to go")
        terminal.press("1" + go)
        terminal.shows(f"{listed[2]['location']}   1 to go")
        terminal.press("x")
        terminal.shows("That was the last one.")
        terminal.press("q")

    with cli.terminal("second", "label", "--json") as terminal:
        await asyncio.to_thread(labels, terminal)
        result = await asyncio.to_thread(terminal.ends)
    assert (result.status, result.json) == (0, {"labeled": 3, "left": 0})
    assert "must not see" in cli("second", "agreement", status=4).err

    cli.key = owner
    cli.signed_in()
    found = cli("second", "agreement", "--json").json
    assert (found["documents"], found["agreed"], found["disagreements"]) == (3, 1, 2)
    differing = {document["location"] for document in found["differing"]}
    assert differing == {listed[0]["location"], listed[2]["location"]}
    shown = cli("second", "agreement").out
    assert "3 documents labeled by both: 1 the same, 2 different, 0 resolved." in shown
    assert "reviewer" in cli("second", "list").out
    review = cli("second", "list", "--json").json[0]["id"]
    assert "for 'reviewer'; you are" in cli("second", "label", "--review", review, status=2).err


async def test_what_there_is_not_is_said(cli: Cli, new_project: MakeProject):
    project = await labeled(new_project, SINGLE)
    cli.signed_in(project.name)
    assert cli("second", "list").out == "There are no second reviews.\n"
    assert "has no second review" in cli("second", "documents", status=5).err
    assert "no second review '-Nab'" in cli("second", "documents", "--review", "-Nab", status=5).err
    assert "either --size or --percent" in cli("second", "start", "Ben", status=2).err
