"""Checks of the layout: everything fits, is readable and reachable, at every width and in both color schemes."""

import os
from pathlib import Path
from typing import Literal

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import Page

#: Widths in px. The layout of the review changes below 861 px.
WIDTHS = (320, 390, 768, 1280, 1440)
HEIGHT = 800
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

#: Folder for screenshots of the checked pages.
PICTURES = os.environ.get("BROWSER_PICTURES")

#: What axe leaves out, for its time goes with the elements: a row is like the rows before it. It looks for each
#: element in all that is left out, rule by rule: thousands of options cost it more when they are left out.
_REPEATED = ["tr:nth-child(n+12)", "li:nth-child(n+12)", "mark:nth-of-type(n+12)"]
_AXE = Path(AXE_FILE_PATH).read_text()

#: Wait until the page has its layout for a new size.
_TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

#: What does not fit: wider than the page or than its own box, cut off without an ellipsis, one text over another, or a
#: word of up to 15 characters on two lines; and words of the page in a field, where they look like a value.
_MISFITS = r"""() => {
  const found = [];
  const page = document.documentElement;
  const width = page.clientWidth;
  // At its beginning, a page does not scroll by itself when parts of it that were out of view are laid out.
  const place = [scrollX, scrollY];
  scrollTo({ left: 0, top: 0, behavior: "instant" });
  const top = document.querySelector("dialog[open]") ?? document.body;
  if (page.scrollWidth > width) found.push(`the page is ${page.scrollWidth} px wide`);
  const styles = new Map();
  const styleOf = (e) => styles.get(e) ?? styles.set(e, getComputedStyle(e)).get(e);
  const boxes = new Map();
  const boxOf = (e) => boxes.get(e) ?? boxes.set(e, e.getBoundingClientRect()).get(e);
  const named = (e) => `${e.tagName.toLowerCase()}.${e.className} “${e.textContent.trim().slice(0, 40)}”`;
  const SCROLLS = ".table-scroll, .tabs, input, textarea, select";  // sideways, by design
  const clipped = (e) => e !== document.documentElement
    && (styleOf(e).clipPath !== "none" || clipped(e.parentElement));
  const hidden = (e) => e.closest("svg, option, [hidden]") || styleOf(e).visibility === "hidden"
    || clipped(e) || !e.checkVisibility({ contentVisibilityAuto: true });
  const inline = (e) => styleOf(e).display === "inline" || styleOf(e).display === "contents";
  const ellipsis = (e) => styleOf(e).textOverflow === "ellipsis";
  const shortened = (e) => e !== document.documentElement && (ellipsis(e) || shortened(e.parentElement));

  for (const e of top.querySelectorAll("*")) {
    const box = boxOf(e);
    if (!box.width || !box.height || hidden(e)) continue;
    const cuts = styleOf(e).overflowX !== "visible" && !inline(e);
    if (cuts && !e.matches(SCROLLS) && !ellipsis(e) && e.scrollWidth > e.clientWidth + 1)
      found.push(`${named(e)} cuts or scrolls ${e.scrollWidth - e.clientWidth} px`);
    const low = ["hidden", "clip"].includes(styleOf(e).overflowY) && e.scrollHeight > e.clientHeight + 2;
    if (low && !inline(e) && e.clientHeight) found.push(`${named(e)} is cut ${e.scrollHeight - e.clientHeight} px`);
    if ((box.right > width + 1 || box.left < -1) && !e.closest(".table-scroll, .tabs") && !shortened(e.parentElement))
      found.push(`${named(e)} ends at ${Math.round(box.right)}`);
  }

  for (const e of top.querySelectorAll("[placeholder]"))
    if (e.placeholder) found.push(`“${e.placeholder}” is a placeholder, which looks like a value`);

  /** The part of a rectangle that scrolling and cutting ancestors show, or null. */
  const seen = (rect, e) => {
    let { left, top, right, bottom } = rect;
    for (let up = e; up && up !== document.documentElement; up = up.parentElement) {
      const s = styleOf(up);
      if (inline(up)) continue;
      const box = boxOf(up);
      if (s.overflowX !== "visible") [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
      if (s.overflowY !== "visible") [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
      if (s.position === "fixed") break;
    }
    return right - left > 1 && bottom - top > 1 ? { left, top, right, bottom } : null;
  };
  /** What lies over the page by design, apart from the rest: messages, the commands of a phone, a menu. */
  const layerOf = (e) => e.closest(".toasts, .toolbar, .category-menu, dialog, .tick") ?? document.body;

  const texts = [];
  const walker = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.data.trim() || hidden(e)) continue;
    range.selectNodeContents(node);
    let block = e;
    while (inline(block)) block = block.parentElement;
    const rects = [...range.getClientRects()];
    if (rects.length > 1 && !e.closest(".document-text")) {
      for (const word of node.data.matchAll(/(?<![^\s-])[^\s\/-]{2,15}(?![^\s-])/g)) {
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map((r) => Math.round(r.top)));
        if (lines.size > 1) found.push(`“${word[0]}” is broken in ${named(e)}`);
      }
    }
    for (const rect of rects) {
      if (rect.width < 2) continue;
      const shown = seen(rect, e);
      if (!shown) continue;
      const box = boxOf(block);
      const tall = Math.max(shown.bottom - box.bottom, box.top - shown.top);
      // What is not in view of a long text is not laid out yet: its block has the height that it is guessed to have.
      if (tall > 3 && block.matches(".text-block")) continue;
      texts.push({ ...shown, e, block, layer: layerOf(e) });
      const out = Math.max(rect.right - box.right, box.left - rect.left);
      if (out > 1.5 && !shortened(e) && !(block.matches(SCROLLS)))
        found.push(`“${node.data.trim().slice(0, 40)}” is ${Math.round(out)} px outside ${named(block)}`);
      if (tall > 3) found.push(`“${node.data.trim().slice(0, 40)}” is ${Math.round(tall)} px below ${named(block)}`);
    }
  }
  texts.sort((a, b) => a.top - b.top);
  for (const [n, a] of texts.entries()) {
    for (let m = n + 1; m < texts.length && texts[m].top < a.bottom; m++) {
      const b = texts[m];
      if (a.layer !== b.layer || a.block === b.block || a.e.contains(b.e) || b.e.contains(a.e)) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - b.top;
      if (wide > 2 && high > 0.35 * Math.min(a.bottom - a.top, b.bottom - b.top))
        found.push(`${named(a.e)} overlaps ${named(b.e)}`);
    }
  }
  scrollTo({ left: place[0], top: place[1], behavior: "instant" });
  return [...new Set(found)].slice(0, 8);
}"""

#: Controls that a finger cannot hit: smaller than 24 px (links in a sentence may be), or under something else.
_OUT_OF_REACH = r"""() => {
  const found = [];
  const top = document.querySelector("dialog[open]") ?? document.body;
  const places = new Map();  // what scrolls, and where it was
  const wordsOf = (e) => (e.ariaLabel ?? e.textContent).trim().slice(0, 40);
  const name = (e) => `${e.tagName.toLowerCase()}.${e.className} “${wordsOf(e)}”`;
  const CONTROLS = "a[href], button, input, select, textarea, summary, [role=option]";
  for (const e of top.querySelectorAll("*"))
    if (e.scrollHeight > e.clientHeight || e.scrollWidth > e.clientWidth) places.set(e, [e.scrollLeft, e.scrollTop]);
  const page = [scrollX, scrollY];
  const seen = new Map();
  for (const e of top.querySelectorAll(CONTROLS)) {
    if (e.disabled || !e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true })) continue;
    if (e.closest(".sr-only") || (e.type === "file" && getComputedStyle(e).clipPath !== "none")) continue;
    // Of a long list, the first few rows are like the others.
    const list = e.closest("table, [role=list], [role=listbox], ul, ol");
    if (list && seen.set(list, (seen.get(list) ?? 0) + 1).get(list) > 24) continue;
    e.scrollIntoView({ block: "center", inline: "nearest" });
    const target = e.matches("input[type=checkbox], input[type=radio]") ? e.closest("label") ?? e : e;
    const rects = [...target.getClientRects()].filter((r) => r.width && r.height);
    const [box] = rects;
    if (!box) continue;
    const word = e.matches("a") && getComputedStyle(e).display.startsWith("inline") && !e.matches(".button, .chip");
    if (!word && (box.width < 24 || box.height < 23.5) && !e.matches(".cover"))
      found.push(`${name(e)} is ${Math.round(box.width)} x ${Math.round(box.height)} px`);
    const x = (Math.max(0, box.left) + Math.min(innerWidth, box.right)) / 2;
    const y = (Math.max(0, box.top) + Math.min(innerHeight, box.bottom)) / 2;
    const hit = document.elementFromPoint(x, y);
    // A message goes by itself; a menu that is open is over the page by design.
    const passes = hit?.closest(".toasts") || (hit?.closest(".category-menu") && !e.closest(".category-menu"));
    const within = hit && (target.contains(hit) || hit.contains(target) || hit.closest("label")?.control === e);
    if (!within && !passes) found.push(`${name(e)} is under ${hit ? name(hit) : "the edge"}`);
  }
  for (const [e, [x, y]] of places) e.scrollTo(x, y);
  scrollTo(...page);
  return [...new Set(found)].slice(0, 8);
}"""


async def misfits(page: Page) -> list[str]:
    """Elements that do not fit into the page or their container at the current width."""
    return await page.evaluate(_MISFITS)


async def violations(page: Page, only: list[str] | None = None) -> list[str]:
    """What axe finds on the page as it is, each with the element that has it. `only`: names of rules.

    It runs in the world of the test, for the page's policy forbids scripts that are not its own files, and stays
    there until the page is loaded again.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_AXE)
    run = {"type": "rule", "values": only} if only else {"type": "tag", "values": WCAG}
    results = await page.evaluate(
        "([exclude, runOnly]) => axe.run({exclude}, {runOnly, resultTypes: ['violations']})", [_REPEATED, run]
    )
    return [
        f"{found['id']}: {node['html'][:160]} ({node['failureSummary']})"
        for found in results["violations"]
        for node in found["nodes"]
    ]


async def look(page: Page, name: str) -> dict[str, list[str]]:
    """What is wrong with the page as it is, by size: at all widths, with axe at both ends and in both colors.

    The elements are the same at all widths, and each style that applies between the ends applies at one of them
    (test_points.py); so axe, which takes most of the time, has nothing to find there that it does not find here. What
    does differ, room and reach, is measured everywhere. Of dark colors only the contrast is looked at; everything else
    is the same. The page then has its size and colors again.
    """
    found: dict[str, list[str]] = {}
    size = page.viewport_size
    dark = await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        ends = width in {WIDTHS[0], WIDTHS[-1]}
        for scheme in SCHEMES[: 2 if ends else 1]:
            await page.emulate_media(color_scheme=scheme)
            await page.evaluate(_TWO_FRAMES)
            problems: list[str] = []
            if scheme == "light":
                problems += await misfits(page) + await page.evaluate(_OUT_OF_REACH)
            if ends:
                problems += await violations(page, ["color-contrast"] if scheme == "dark" else None)
            if PICTURES:
                file = f"{name}-{width}-{scheme}.png".replace(" ", "-")
                await page.screenshot(path=Path(PICTURES) / file, full_page=True)
            if problems:
                found[f"{name}, {width} px, {scheme}"] = problems
    await page.emulate_media(color_scheme="dark" if dark else "light")
    if size:
        await page.set_viewport_size(size)
    return found
