"""Retakes the screenshots in docs/images: python -m scripts.pictures. Needs Chromium and a built review page.

Two projects are created from made-up texts: letters with one class each, and profiles with entities.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from playwright.sync_api import Browser, Page, sync_playwright

from samples.api import Api, Json, ProjectApi
from samples.server import KEY, ROOT, Server

IMAGES = ROOT / "docs" / "images"
LETTERS, PROFILES = "support-letters", "candidate-profiles"

PHRASES = {
    "Billing": ("was charged twice for", "never received an invoice for", "would like a refund for"),
    "Outage": ("cannot sign in to", "sees an error page in", "gets no response from"),
    "Contract": (
        "wants to cancel the contract for",
        "asks to extend the contract for",
        "has a question about the terms of",
    ),
    "Praise": ("is delighted with", "thanks the team for", "recommends to friends"),
}
PRODUCTS = (
    "the archive",
    "the mobile app",
    "the web shop",
    "the mail service",
    "the premium plan",
    "the photo printer",
)
CUSTOMERS = (
    "Ms. Okafor",
    "Mr. Lindqvist",
    "The Marlow bakery",
    "Dr. Haddad",
    "A school in Leeds",
    "The Ito family",
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

NAMES = (
    "Omar Haddad",
    "Lena Brandt",
    "Aiko Tanaka",
    "Maria Silva",
    "Jon Berg",
    "Priya Nair",
    "Tomás Ortega",
    "Eva Novak",
)
CITIES = ("Montréal", "Lisbon", "Oslo", "Kyoto", "Prague", "Porto", "Vienna")
SKILLS = ("SQL", "technical writing", "Python", "accounting", "data modeling")


def letters() -> Iterator[tuple[str, str, str]]:
    """(location, text, category). Every fifth letter is about two things, so that some suggestions are in doubt."""
    parts = itertools.product(CUSTOMERS, PRODUCTS, range(3), PHRASES)
    for number, (customer, product, phrase, category) in enumerate(itertools.islice(parts, 0, None, 3)):
        text = (
            f"{customer} {PHRASES[category][phrase]} {product}. The letter arrived on {DAYS[number % 5]}.\n"
        )
        if number % 5 == 0:
            other = list(PHRASES)[number // 5 % 4]
            text += f"\nIt adds that someone there {PHRASES[other][phrase - 1]} {PRODUCTS[number % 6]}.\n"
        yield f"letters/{number:03}.txt", text, category


def profiles() -> Iterator[tuple[str, str, list[Json]]]:
    """(location, text, entities). The form changes, so that some suggestions are in doubt."""
    for number in range(80):
        name, friend = NAMES[number % 8], NAMES[(number * 3 + 1) % 8]
        city, before = CITIES[number % 7], CITIES[(number + 3) % 7]
        skill, other = SKILLS[number % 5], SKILLS[(number + 2) % 5]
        first = (
            f"{name} lives in {city} and knows {skill} and {other}.",
            f"Meet {name}: based in {city}, good at {skill}, and learning {other}.",
            f"{skill} and {other} are what {name} does best, mostly from {city}.",
        )[0 if number < 30 and number % 6 else number % 3]
        text = (
            f"{first}\n\nA small team moves reports from paper to the web, and writes the tests first. Before that "
            f"came evening classes in {before}. “I like work that is done when it is done.” 😀\n\n"
            f"Contact through {friend} at the office.\n"
        )
        found = (
            ("Person", name),
            ("City", city),
            ("Skill", skill),
            ("Skill", other),
            ("City", before),
            ("Person", friend),
        )
        yield f"profiles/{number:03}.txt", text, [_entity(text, *item) for item in found]


def _entity(text: str, category: str, words: str) -> Json:
    units = len(text[: text.rindex(words)].encode("utf-16-le")) // 2
    return {"category": category, "offset": units, "length": len(words.encode("utf-16-le")) // 2}


def prepare(api: Api, storage: BlobServiceClient) -> None:
    """Create both projects, label a part of each, and get suggestions for the others."""
    texts = list(letters())
    labels: dict[str, Json] = {name: {"class": {"category": category}} for name, _, category in texts[::3]}
    _project(api, storage, LETTERS, "CustomSingleLabelClassification", {n: t for n, t, _ in texts}, labels)
    _review_and_train(api.project(LETTERS), {name: category for name, _, category in texts})
    documents = list(profiles())
    regions = {n: {"entities": [_region(text, found)]} for n, text, found in documents[:31]}
    _project(api, storage, PROFILES, "CustomEntityRecognition", {n: t for n, t, _ in documents}, regions)


def _review_and_train(project: ProjectApi, truth: dict[str, str]) -> None:
    """Decide on the least certain, train a model, and get suggestions for the others again."""
    decisions: list[Json] = []
    for document in project.get("/documents", status="autoLabeled", orderby="uncertainty", top=40)["value"]:
        right = document["suggestions"][0]["category"] == truth[document["location"]]
        verdict = {"acceptAll": True} if right else {"rejectAll": True}
        decisions.append({"documentId": document["id"], "eTag": document["eTag"], **verdict})
    project.review(decisions)
    training = {"modelLabel": "spring-1", "trainingConfigVersion": "latest"}
    project.api.wait(project.post("/:train", training))
    project.api.wait(project.post("/autolabel/jobs"))


def _region(text: str, entities: list[Json]) -> Json:
    return {"regionOffset": 0, "regionLength": len(text.encode("utf-16-le")) // 2, "labels": entities}


def _project(
    api: Api, storage: BlobServiceClient, name: str, kind: str, texts: dict[str, str], labels: dict[str, Json]
) -> None:
    container = storage.create_container(name)
    for location, text in texts.items():
        container.upload_blob(location, text)
    project = api.project(name)
    project.create(kind, name)
    documents = api.until("the documents", lambda: _all(project, len(texts)))
    for document in documents:
        if document["location"] in labels:
            project.set_labels(document, labels[document["location"]])
    api.wait(project.post("/autolabel/jobs"))


def _all(project: ProjectApi, count: int) -> list[Json] | None:
    found = list(project.documents())
    return found if len(found) == count else None


def sign_in(browser: Browser, url: str, width: int, height: int, scheme: str = "light") -> Page:
    dark = "dark" if scheme == "dark" else "light"
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=dark, reduced_motion="reduce"
    )
    page.goto(f"{url}/studio/")
    page.get_by_label("key").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Projects").wait_for()
    return page


def view(page: Page, project: str, name: str) -> None:
    page.get_by_role("link", name="Projects", exact=True).click()
    page.get_by_role("link", name=project, exact=True).click()
    page.get_by_role("link", name="Overview", exact=True).wait_for()  # cards have a link named Review, too
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_timeout(1_500)
    page.evaluate("document.activeElement.blur()")


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(0, 0, Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        prepare(
            Api(server.url, KEY, server.require_running),
            BlobServiceClient.from_connection_string(server.connection_string),
        )
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = sign_in(browser, server.url, 1280, 800)
        view(page, PROFILES, "Review")
        page.keyboard.press("a")
        page.keyboard.press("a")
        take(page, "review-entities")
        page.set_viewport_size({"width": 1280, "height": 840})
        view(page, LETTERS, "Overview")
        take(page, "overview")
        view(page, LETTERS, "Review")
        page.get_by_role("button", name="Bulk accept or reject").click()
        page.get_by_text("would be accepted").wait_for()
        page.get_by_text("chosen at random").wait_for()
        take(page, "review-bulk")
        dark = sign_in(browser, server.url, 1280, 720, "dark")
        view(dark, LETTERS, "Review")
        take(dark, "review-classes-dark")
        phone = sign_in(browser, server.url, 390, 760)
        view(phone, LETTERS, "Review")
        take(phone, "review-phone")
        browser.close()


if __name__ == "__main__":
    main()
