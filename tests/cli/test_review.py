"""Reviewing in a real terminal (pty): one key for each decision, saved as it is decided."""

import asyncio
import signal

from tests.cli.terminal import Cli, Terminal
from tests.integration.conftest import MakeProject
from tests.support.api import ENTITIES, MULTI, Project


async def labels(project: Project) -> dict[str, object]:
    found = await project.documents(status="labeled")
    return {
        document["location"]: document.get("class") or document.get("classes")
        for document in found
        if document["location"][0] != "~"
    }


async def test_single_labels_with_undo_relabel_skip_and_a_conflict(cli: Cli, new_project: MakeProject):
    project = await new_project()
    await project.suggested({f"{n}.txt": f"Text {n} @Refund:{n}5" for n in range(5, 10)}, "Refund", "Login")
    cli.signed_in(project.name)

    def reviewed(terminal: Terminal) -> None:
        first = terminal.shows("q quit")
        assert "5.txt   0 saved, 5 to go" in first
        assert "Refund   confidence 0.55" in first
        terminal.press("a")
        assert "6.txt   1 saved, 4 to go" in terminal.shows("q quit")
        terminal.press("u")
        assert "5.txt   0 saved" in terminal.shows("Undone.")
        terminal.press("l")
        terminal.shows("1  Refund\n2  Login")
        terminal.press("2r")  # another category for 5, no category for 6: keys that are typed ahead stay
        terminal.shows("7.txt   2 saved")
        terminal.press("s")
        terminal.shows("8.txt   2 saved")

    with cli.terminal("review", "--json") as terminal:
        await asyncio.to_thread(reviewed, terminal)
        await project.put_labels("8.txt", {"class": {"category": "Login"}})  # someone else
        terminal.press("a")
        await asyncio.to_thread(terminal.shows, "8.txt was changed by someone else")
        terminal.press("A")
        await asyncio.to_thread(terminal.shows, "That was the last one.")
        terminal.press("uaq")
        result = await asyncio.to_thread(terminal.ends)
    counts = {"documents": 3, "accepted": 1, "rejected": 1, "relabeled": 1, "skipped": 1}
    assert (result.status, result.json) == (0, counts)
    login, refund = {"category": "Login"}, {"category": "Refund"}
    assert await labels(project) == {"5.txt": login, "8.txt": login, "9.txt": refund}
    assert (await project.document("6.txt"))["suggestions"] == []
    assert (await project.document("7.txt"))["status"] == "autoLabeled"


async def test_entities_one_by_one_highlighted_where_they_are(cli: Cli, new_project: MakeProject):
    project = await new_project(ENTITIES)
    text = "👋🏽 Meet @Person:61 in @City:72 \x1b[31mnow and @City:83."
    await project.suggested({"a.txt": text}, "City", "Person")
    cli.signed_in(project.name)
    with cli.terminal("review") as terminal:
        shown = await asyncio.to_thread(terminal.shows, "q quit")
        assert "1 of 3   Person   confidence 0.61" in shown
        assert "␛[31mnow" in shown  # control characters of a text are shown and have no effect
        assert "\x1b[1;7m@Person:61\x1b[0m" in terminal.raw  # the current one, reversed
        assert "\x1b[4m@City:72\x1b[0m" in terminal.raw
        terminal.press("a")
        await asyncio.to_thread(terminal.shows, "2 of 3   City")
        terminal.press("ur")
        await asyncio.to_thread(terminal.shows, "2 of 3   City")
        terminal.press("al")
        listed = await asyncio.to_thread(terminal.shows, "any other key: back")
        number = next(
            line[0] for line in listed.splitlines() if line.endswith("  Person") and line[0].isdigit()
        )
        terminal.press(number)
        await asyncio.to_thread(terminal.shows, "That was the last one.")
        terminal.press("q")
        result = await asyncio.to_thread(terminal.ends)
    assert "Saved 1 document: 1 accepted, 1 rejected, 1 given another category, 0 skipped." in result.err
    [region] = (await project.document("a.txt"))["entities"]
    units = text.encode("utf-16-le")
    found = {
        (
            label["category"],
            units[2 * label["offset"] : 2 * (label["offset"] + label["length"])].decode("utf-16-le"),
        )
        for label in region["labels"]
    }
    assert found == {("City", "@City:72"), ("Person", "@City:83")}


async def test_several_classes_and_quitting_in_the_middle_of_a_document(cli: Cli, new_project: MakeProject):
    project = await new_project(MULTI)
    await project.suggested({"a.txt": "@Refund:91 @Login:62"}, "Refund", "Login", "Other")
    cli.signed_in(project.name)
    with cli.terminal("review") as terminal:
        await asyncio.to_thread(terminal.shows, "1 of 2   Refund")
        terminal.press("\x1b[Aaq")  # an arrow key is no decision
        result = await asyncio.to_thread(terminal.ends)
    assert "Saved 1 document: 1 accepted, 0 rejected" in result.err
    document = await project.document("a.txt")
    assert document["classes"] == [{"category": "Refund"}]
    assert [suggestion["category"] for suggestion in document["suggestions"]] == ["Login"]


async def test_ctrl_c_keeps_what_was_saved_and_leaves_the_terminal_as_it_was(
    cli: Cli, new_project: MakeProject
):
    project = await new_project()
    await project.suggested({f"{n}.txt": f"@Refund:8{n}" for n in range(3)}, "Refund")
    cli.signed_in(project.name)
    with cli.terminal("review") as terminal:
        await asyncio.to_thread(terminal.shows, "q quit")
        terminal.press("a")
        await asyncio.to_thread(terminal.shows, "1 saved")
        terminal.press("\x03")
        result = await asyncio.to_thread(terminal.ends)
    assert result.status == 128 + signal.SIGINT
    assert "Saved 1 document" in result.err
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")
    assert list(await labels(project)) == ["0.txt"]


async def test_review_says_when_there_is_nothing_to_review(cli: Cli, new_project: MakeProject):
    cli.signed_in((await new_project()).name)
    with cli.terminal("review") as terminal:
        result = await asyncio.to_thread(terminal.ends)
    assert "There is nothing to review." in result.out
    assert "Saved" not in result.err


def test_review_needs_a_terminal_and_something_to_confirm_has_one(cli: Cli):
    cli.signed_in("p")
    assert "Reviewing needs a terminal" in cli("review", status=2).err


async def test_a_person_confirms_by_name(cli: Cli, new_project: MakeProject):
    project = await new_project()
    cli.signed_in()
    for typed, status in (("wrong", 8), (project.name, 0)):
        with cli.terminal("projects", "delete", project.name) as terminal:
            await asyncio.to_thread(terminal.shows, "Type the name to confirm: ")
            terminal.press(f"{typed}\n")
            result = await asyncio.to_thread(terminal.ends)
        assert result.status == status
    assert "Deleted the project" in result.out


async def test_progress_is_shown_on_a_terminal(cli: Cli, new_project: MakeProject):
    project = await new_project()
    (cli.folder / "texts").mkdir()
    for number in range(3):
        (cli.folder / "texts" / f"{number}.txt").write_text("x")
    cli.signed_in(project.name)
    with cli.terminal("upload", "texts", "--wait") as terminal:
        await asyncio.to_thread(terminal.shows, "Uploading")
        await asyncio.to_thread(terminal.shows, "100 %")
        await asyncio.to_thread(terminal.shows, "Registering the documents")
        result = await asyncio.to_thread(terminal.ends)
    assert result.out == f"Uploaded 3 files to '{project.container}'; 0 unchanged, 0 left out.\n"
