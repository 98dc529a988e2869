"""A cell of the confusion matrix opens the documents that it counts."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import MakeProject, OpenStudio
from tests.integration.kinds.helpers import train
from tests.support.api import SINGLE, Project


async def trained(project: Project) -> None:
    """Train a model on three test documents that are labeled Login; it takes two of them for Refund."""
    texts = {f"train/{n}.txt": f"@{('Refund', 'Login')[n % 2]}:90 a letter, number {n}" for n in range(12)}
    tests = {f"test/{n}.txt": f"@Refund:60 again {n}" for n in range(2)} | {"test/2.txt": "@Login:60 again"}
    await project.upload(texts | tests)
    await project.scan()
    await project.registered(len(texts) + len(tests))
    for location in texts | tests:
        name = "Refund" if "Refund" in texts.get(location, "") else "Login"
        await project.put_labels(location, {"class": {"category": name}})
    for location in tests:
        document = await project.document(location)
        path = f"{project.path}/documents/{document['id']}"
        patched = await project.http.patch(
            path, json={"dataset": "Test"}, headers={"If-Match": document["eTag"]}
        )
        patched.raise_for_status()
    job = await train(project, evaluationOptions={"kind": "manual"})
    assert job["status"] == "succeeded", job


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (320, "dark")])
async def test_a_cell_opens_its_documents(
    width: int, scheme: str, open_studio: OpenStudio, new_project: MakeProject
) -> None:
    project = await new_project(SINGLE)
    await trained(project)
    cell = {"evaluatedModel": "m1", "expectedCategory": "Login", "predictedCategory": "Refund"}
    expected = {d["location"] for d in await project.documents(**cell)}
    summary = await project.get("/models/m1/evaluation/summary-result")
    matrix = summary["customSingleLabelClassificationEvaluation"]["confusionMatrix"]
    assert len(expected) == matrix["Login"]["Refund"]["rawValue"] == 2
    answer = await project.http.get(f"{project.path}/documents", params={"expectedCategory": "Login"})
    assert (answer.status_code, answer.json()["error"]["target"]) == (400, "evaluatedModel")
    missing = await project.http.get(f"{project.path}/documents", params=cell | {"evaluatedModel": "none"})
    assert missing.status_code == 404

    studio = await open_studio(width=width, scheme=scheme)
    page = studio.page
    await studio.open(project.name, "Training")
    await page.get_by_role("link", name="2 labeled Login, predicted Refund").press("Enter")
    toggle = page.get_by_role("button", name="Documents", exact=True)
    await expect(studio.text).to_contain_text("@Refund:60 again")
    if width < 900:
        await toggle.click()
    rows = page.get_by_role("list", name="Documents").get_by_role("link")
    await expect(rows).to_have_count(2)
    await expect(page.get_by_text("2 documents", exact=True)).to_be_visible()
    await expect(
        page.get_by_text("Test documents of the model m1: labeled Login, predicted Refund")
    ).to_be_visible()
    assert await studio.violations() == []
    assert await studio.overflow() == []
    await page.reload()
    await expect(studio.text).to_contain_text("@Refund:60 again")
    if width < 900:
        await toggle.click()
    await expect(rows).to_have_count(2)
    await page.get_by_role("button", name="Show all documents").press("Enter")
    await expect(page.get_by_text("15 documents", exact=True)).to_be_visible()
