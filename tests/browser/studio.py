"""The review page as a person uses it: by names, roles and keys, never by the page's own structure."""

import os
import re
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import ConsoleMessage, Locator, Page, expect

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
#: Widths in px, each in one of the colors. The layout of the review changes below 861 px.
SIZES: tuple[tuple[int, Literal["light", "dark"]], ...] = (
    (320, "light"),
    (390, "dark"),
    (768, "light"),
    (1280, "light"),
    (1440, "dark"),
)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


#: Where to leave pictures of what is looked at, for people.
PICTURES = os.environ.get("BROWSER_PICTURES")

#: What axe leaves out, for its time goes with the elements: a row is like the rows before it.
_REPEATED = [f"{row}:nth-child(n+12)" for row in ("tr", "li", "option")]
_AXE = Path(AXE_FILE_PATH).read_text()

#: What is wider than the page, or is cut off without an ellipsis; tables and the row of tabs scroll by design.
_OVERFLOW = """() => {
  const isShortened = (element) => element && element !== document.body
    && (getComputedStyle(element).textOverflow === "ellipsis" || isShortened(element.parentElement));
  const found = [];
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) found.push(`the page is ${page.scrollWidth} px wide`);
  const open = document.querySelector("dialog[open]");
  for (const element of (open ?? document.body).querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    if (!box.width || !box.height || style.visibility === "hidden" || style.clipPath !== "none") continue;
    if (element.closest("svg, select, .sr-only")) continue;
    const name = `${element.tagName.toLowerCase()}.${element.className} “${element.textContent.slice(0, 40)}”`;
    const scrolls = element.matches(".table-scroll, .tabs, input");
    const ellipsis = style.textOverflow === "ellipsis";
    if (style.overflowX !== "visible" && !scrolls && !ellipsis && element.scrollWidth > element.clientWidth + 1)
      found.push(`${name} cuts or scrolls ${element.scrollWidth - element.clientWidth} px`);
    const out = box.right > page.clientWidth + 1 || box.left < -1;
    if (out && !element.closest(".table-scroll, .tabs") && !isShortened(element.parentElement))
      found.push(`${name} ends at ${Math.round(box.right)}`);
  }
  return found.slice(0, 8);
}"""


#: Until the page has its layout for a size that was just set.
_TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Studio:
    """One person's page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        #: What the browser complained of; answers that tests provoke on purpose (4xx) are no fault of the page.
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
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
        await self.page.get_by_role("link", name=project, exact=True).click()
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
        """What axe finds on the page as it is, each with the element that has it.

        It runs in the world of the test, for the page's policy forbids scripts that are not its own files, and
        stays there until the page is loaded again.
        """
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(_AXE)
        results = await self.page.evaluate(
            "([exclude, values]) => axe.run({exclude}, {runOnly: {type: 'tag', values}})",
            [_REPEATED, WCAG],
        )
        return [
            f"{found['id']}: {node['html'][:160]} ({node['failureSummary']})"
            for found in results["violations"]
            for node in found["nodes"]
        ]

    async def overflow(self) -> list[str]:
        """What does not fit into the width of the page, or into the part of it that holds it."""
        return await self.page.evaluate(_OVERFLOW)

    async def at_all_sizes(self, name: str) -> dict[str, list[str]]:
        """What does not fit and what axe finds of the page as it is, by size.

        The page then has its size and colors again.
        """
        found: dict[str, list[str]] = {}
        size = self.page.viewport_size
        dark = await self.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        for width, scheme in SIZES:
            await self.page.set_viewport_size({"width": width, "height": 800})
            await self.page.emulate_media(color_scheme=scheme)
            await self.page.evaluate(_TWO_FRAMES)
            faults = [*await self.overflow(), *await self.violations()]
            if PICTURES:
                await self.page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png".replace(" ", "-"))
            if faults:
                found[f"{name}, {width} px"] = faults
        await self.page.emulate_media(color_scheme="dark" if dark else "light")
        if size:
            await self.page.set_viewport_size(size)
        return found

    async def go(self, project: str, view: str, query: str = "") -> None:
        """Go to a view of a project by its address."""
        await self.page.goto(f"{self.url}/studio/#/projects/{project}/{view}{query}")

    def _heard(self, message: ConsoleMessage) -> None:
        provoked = message.text.startswith("Failed to load resource")
        if message.type in {"error", "warning"} and not provoked:
            self.faults.append(message.text)
