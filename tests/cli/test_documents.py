"""Documents in lists and under review: flags and notes."""

import asyncio

from tests.cli.terminal import Cli, Terminal
from tests.integration.conftest import MakeProject


async def test_documents_are_listed_flagged_and_noted(cli: Cli, new_project: MakeProject):
    project = await new_project()
    await project.upload({"a.txt": "one", "b.txt": "two"})
    await project.scan()
    cli.signed_in(project.name)

    def printed(*arguments: str, status: int = 0) -> str:
        result = cli("documents", *arguments, status=status)
        return result.out or result.err

    def marked() -> None:
        assert printed("mark", "a.txt", "--flag", "--note", "Ask legal.") == (
            "'a.txt' is flagged, with a note of 10 characters.\n"
        )
        assert "has no document 'a'" in printed("mark", "a", "--flag", status=5)
        assert "Give --flag" in printed("mark", "a.txt", status=2)
        rows = printed("list").splitlines()
        assert [row.split() for row in rows[1:]] == [
            ["a.txt", "unlabeled", "flagged", "Ask", "legal."],
            ["b.txt", "unlabeled"],
        ]
        listed = cli("documents", "list", "--flagged", "--json").json
        assert [d["location"] for d in listed] == ["a.txt"]
        assert (
            printed("mark", "a.txt", "--no-flag", "--note", "") == "'a.txt' is not flagged, with no note.\n"
        )
        assert printed("list", "--flagged") == "No document matches.\n"

    await asyncio.to_thread(marked)


async def test_a_review_shows_the_note_and_flags(cli: Cli, new_project: MakeProject):
    project = await new_project()
    await project.suggested({"a.txt": "Text @Refund:55"}, "Refund")
    cli.signed_in(project.name)
    await asyncio.to_thread(cli, "documents", "mark", "a.txt", "--note", "Ask\nlegal.")

    def reviewed(terminal: Terminal) -> None:
        assert "Note: Ask legal." in terminal.shows("q quit")
        terminal.press("f")
        terminal.shows("to go   flagged")
        terminal.press("a")
        terminal.shows("That was the last one.")
        terminal.press("q")
        terminal.ends()

    with cli.terminal("review") as terminal:
        await asyncio.to_thread(reviewed, terminal)
    document = await project.document("a.txt")
    assert (document["flagged"], document["note"], document["status"]) == (True, "Ask\nlegal.", "labeled")
