"""“No label applies” in every kind: a key, a control in view, a line of the help, and a state of its own (rule D6)."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.integration.kinds.helpers import FIELDS, KINDS
from tests.support.api import ENTITIES, SINGLE


@pytest.mark.parametrize("kind", KINDS)
async def test_no_label_applies_has_a_key_and_a_control(
    open_studio: OpenStudio, new_project: MakeProject, kind: str
) -> None:
    project = await new_project(kind)
    await project.suggested({"a.txt": "@Refund:50 one", "b.txt": "@Refund:60 two"}, "Refund")
    studio = await open_studio()
    page = studio.page
    await studio.review(project.name)
    control = page.get_by_role("button", name="No label applies")
    await expect(control).to_be_visible()
    await expect(control).to_have_attribute("aria-keyshortcuts", "x")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog").get_by_role("row", name="No label applies")).to_be_visible()
    await page.keyboard.press("Escape")

    await page.keyboard.press("x")
    await expect(studio.text).to_contain_text("@Refund:60")  # decided: the next document
    await control.click()
    await studio.press("save")
    await studio.saved()
    for name in ("a.txt", "b.txt"):
        document = await project.document(name)
        assert (document["status"], document["suggestions"]) == ("labeled", [])
        value = document[FIELDS[kind]]
        if kind == SINGLE:
            assert value == {"category": None}
        elif kind == ENTITIES:
            assert [label for region in value for label in region["labels"]] == []
        else:
            assert value == []
