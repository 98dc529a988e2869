"""The next document is shown in the frame after the key press, however many entities it has.

`pytest tests/browser/test_speed.py -s` prints how long that took, the figures that docs/performance.md has.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median, quantiles

from playwright.async_api import Browser, expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.browser.studio import Studio
from tests.support.api import ENTITIES, SINGLE, Json

#: The key is handled, the next frame is drawn, and only then does a message arrive behind it.
PRESS = """async (key) => {
    const text = () => document.querySelector('[data-testid=document-text]');
    const before = text().textContent;
    performance.mark('pressed');
    const start = performance.now();
    document.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    let changed = false;
    await new Promise((resolve) => requestAnimationFrame(() => {
        changed = text().textContent !== before;
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = resolve;
        port2.postMessage(null);
    }));
    const took = performance.now() - start;
    performance.mark('shown');
    return [took, changed];
}"""
#: Long enough that a text of this many entities has the length of a long report.
TOKENS = 475


async def test_50_documents_with_51_keys(open_studio: OpenStudio, new_project: MakeProject) -> None:
    """One key for each document, after which the next one is in the same frame, and one to save."""
    project = await new_project(SINGLE)
    words = " ".join(["word"] * 100)
    await project.suggested({f"{n}.txt": f"@Refund:{n + 30} {n} {words}" for n in range(50)}, "Refund")
    studio = await open_studio()
    await studio.review(project.name)
    key = await studio.command("accept").get_attribute("aria-keyshortcuts")
    await studio.page.wait_for_load_state("networkidle")

    times = [await press_and_wait(studio, key) for _ in range(45)]
    for _ in range(5):
        took, _ = await studio.page.evaluate(PRESS, key)
        times.append(took)
    await studio.unsaved(50)
    await studio.press("save")
    await studio.saved()
    keys = len(times) + 1  # and the one to save
    show(f"{keys} keys for 50 documents", times)
    assert len(await project.documents(status="labeled")) == 51, (
        "51 keys; one more document defined the category"
    )


async def test_the_next_of_long_documents_is_in_the_same_frame(
    open_studio: OpenStudio, new_project: MakeProject, browser: Browser
) -> None:
    """475 entities in 20,000 characters, of which none is missing in the end."""
    project = await new_project(ENTITIES)
    await project.suggested({f"{n:02}.txt": long_text(n) for n in range(30)}, "Refund", "Person")
    studio = await open_studio()
    await studio.review(project.name)
    marks = studio.text.locator("mark")
    await expect(marks).to_have_count(TOKENS)
    await studio.page.wait_for_load_state("networkidle")
    key = await studio.command("accept all").get_attribute("aria-keyshortcuts")

    times: list[float] = []
    await browser.start_tracing(page=studio.page, categories=["toplevel", "blink.user_timing"])
    try:
        for _ in range(20):
            times.append(await press_and_wait(studio, key))
            await expect(marks).to_have_count(TOKENS)
            await expect(studio.text.locator("mark.pointed-at")).to_be_in_viewport()
    finally:
        trace = await browser.stop_tracing()
    show(f"accept all and next at {TOKENS} entities", times)
    show("  CPU of the page's main thread", list(cpu(json.loads(trace)["traceEvents"])))
    await studio.unsaved(20)


async def press_and_wait(studio: Studio, key: str | None) -> float:
    """Press, and return the milliseconds until the next document is painted, which is in the next frame.

    Each document opened lets one more be read ahead: wait for that, as a person does by reading.
    """
    async with studio.page.expect_response(re.compile(r"/text\?")):
        took, changed = await studio.page.evaluate(PRESS, key)
    assert changed, "the next document was not there when its frame was drawn"
    return took


def long_text(number: int) -> str:
    """About 20,000 characters with 475 entities, in lines of about 800 characters."""
    tokens = (f"{number} word {n:03} and @{('Refund', 'Person')[n % 2]}:{30 + n % 60}" for n in range(TOKENS))
    return "".join(f"{token:<41}{'\n' if n % 20 == 19 else ' '}" for n, token in enumerate(tokens))


def cpu(events: list[Json]) -> Iterator[float]:
    """Milliseconds of CPU of the tasks that ran between each key and the document that it brought."""
    marks = sorted(
        (e["ts"], e["pid"], e["tid"]) for e in events if e["name"] in {"pressed", "shown"} and e["ph"] != "E"
    )
    thread = marks[0][1:]
    tasks = sorted(
        (e["ts"], e["ts"] + e["dur"], e.get("tdur", 0))
        for e in events
        if e["ph"] == "X" and (e["pid"], e["tid"]) == thread
    )
    for (pressed, *_), (shown, *_) in list(pairwise(marks))[::2]:
        total, end = 0, 0
        for start, stop, used in tasks:
            if start >= end and stop > pressed and start < shown:  # those inside of others are counted there
                total, end = total + used, stop
        yield total / 1_000


def show(what: str, times: list[float]) -> None:
    p95 = quantiles(times, n=20, method="inclusive")[-1]
    print(f"{what}: median {median(times):.1f} ms, p95 {p95:.1f} ms")  # noqa: T201 - shown with -s
