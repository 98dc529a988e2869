"""The review page as a person uses it: by accessible names, roles and keys, never by the structure of the page."""

import re
from typing import Any

from playwright.async_api import ConsoleMessage, Locator, Page, expect

from tests.browser.look import look, misfits, violations

TEXT = "document-text"
#: Commands by the beginning of the accessible name of their control.
COMMANDS = {
    "accept": r"^Accept$",
    "reject": r"^Reject$",
    "accept all": r"^Accept all",
    "undo": r"^Undo$",
    "save": r"^Save labels",
    "next": r"^Next",
    "save and next": r"^Save and next$",
    "previous": r"^Previous",
}


class Studio:
    """One person's page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        #: Errors of the page, without failed requests (4xx) that tests cause on purpose.
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)

    async def start(self) -> None:
        await self.page.goto(f"{self.url}/studio/")
        await expect(self.page.get_by_role("main")).to_be_visible()

    async def sign_in(self, key: str) -> None:
        await self.page.get_by_label(re.compile("key", re.IGNORECASE)).fill(key)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("heading", name="Projects", exact=True)).to_be_visible()

    async def open(self, project: str, view: str) -> None:
        """Go to a view from the first page, by links alone."""
        await self.page.get_by_role("link", name="Projects", exact=True).click()
        # By Enter: a project that another test made can move the link between a mouse's press and release.
        await self.page.get_by_role("link", name=project, exact=True).press("Enter")
        await expect(self.page.get_by_role("link", name="Overview", exact=True)).to_be_visible()
        await self.page.get_by_role("link", name=view, exact=True).click()

    async def review(self, project: str) -> None:
        await self.open(project, "Review")
        await expect(self.text).to_be_visible()

    def command(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=re.compile(COMMANDS[name]))

    async def press(self, name: str) -> None:
        """Use a command by its key, with nothing focused."""
        key = await self.command(name).get_attribute("aria-keyshortcuts")
        assert key, f"The control of '{name}' tells no key."
        await self.page.evaluate("document.activeElement?.blur()")
        await self.page.keyboard.press(key)

    @property
    def text(self) -> Locator:
        return self.page.get_by_test_id(TEXT)

    async def shown_text(self) -> str:
        """The text under review, with every character: `inner_text` would change white space."""
        return await self.text.evaluate("element => element.textContent")

    async def spans(self, kind: str) -> list[tuple[str, str, int]]:
        """(category, text, offset) of what is marked as `suggestion` or `label`."""
        found: list[list[Any]] = await self.text.evaluate(
            """(root, kind) => [...root.querySelectorAll(`mark.${kind}`)].map((mark) => {
                const before = document.createRange();
                before.setStart(root, 0);
                before.setEndBefore(mark);
                return [mark.dataset.category, mark.textContent, before.toString().length];
            })""",
            kind,
        )
        return [(category, text, offset) for category, text, offset in found]

    async def select(self, part: str) -> None:
        """Select a part of the text as a drag of the mouse does."""
        await self.text.evaluate(
            """(root, part) => {
                const start = root.textContent.indexOf(part);
                const place = (offset) => {
                    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
                    let seen = 0;
                    for (let node = walker.nextNode(); node; seen += node.data.length, node = walker.nextNode())
                        if (offset <= seen + node.data.length) return [node, offset - seen];
                };
                const range = document.createRange();
                range.setStart(...place(start));
                range.setEnd(...place(start + part.length));
                getSelection().removeAllRanges();
                getSelection().addRange(range);
            }""",
            part,
        )
        await expect(self.page.get_by_role("group", name="Category of the selected text")).to_be_visible()

    async def saved(self) -> None:
        """Wait until nothing is left to save."""
        await expect(self.page.get_by_role("button", name="Save labels", exact=True)).to_be_visible()

    async def unsaved(self, documents: int) -> None:
        name = f"Save labels, {documents} not saved yet"
        await expect(self.page.get_by_role("button", name=name, exact=True)).to_be_visible()

    async def reported(self, text: str) -> None:
        """Wait for a message."""
        await expect(self.page.locator(".toasts")).to_contain_text(text)

    async def violations(self) -> list[str]:
        """The violations that axe finds on the current page."""
        return await violations(self.page)

    async def overflow(self) -> list[str]:
        """Elements that do not fit into the current page."""
        return await misfits(self.page)

    async def at_all_sizes(self, name: str) -> dict[str, list[str]]:
        """What is wrong with how the page looks as it is, by size; the page then has its size and colors again."""
        return await look(self.page, name)

    async def go(self, project: str, view: str, query: str = "") -> None:
        """Go to a view of a project by its address."""
        await self.page.goto(f"{self.url}/studio/#/projects/{project}/{view}{query}")

    def _heard(self, message: ConsoleMessage) -> None:
        provoked = message.text.startswith("Failed to load resource")
        if message.type in {"error", "warning"} and not provoked:
            self.errors.append(message.text)
