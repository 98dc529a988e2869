"""When the running host fits an engine, and when it does not; `GET P/autolabel/fits` shows each fit."""

from typing import Any

import pytest

from tests.integration.conftest import MakeProject
from tests.support.api import SINGLE, Project, label
from tests.support.hosts import Host
from tests.support.waiting import eventually

type Json = dict[str, Any]
LABELED = 300


async def fits(project: Project) -> list[Json]:
    """Newest first."""
    return (await project.get("/autolabel/fits"))["value"]


async def seen(project: Project, location: str, *, suggested: bool) -> Json:
    """The document when its upload was dealt with: it has a suggestion, or was read and waits."""

    async def look() -> Json | None:
        found = [d for d in await project.documents(locationPrefix=location) if d["length"]]
        return found[0] if found and bool(found[0]["suggestions"]) == suggested else None

    return await eventually(f"the upload of {location}", look, 60)


async def on_upload(project: Project, *, on: bool = True) -> None:
    answer = await project.http.patch(project.path, json={"settings": {"autolabel": {"onUpload": on}}})
    assert answer.status_code == 200


@pytest.mark.timeout(300)
async def test_labeled_documents_that_come_with_their_blobs_fit_nothing(new_project: MakeProject) -> None:
    project = await new_project(events=True, create=False)
    texts = {f"in/{number:04}.txt": f"@Refund:80 number {number}" for number in range(LABELED)}
    early = dict(list(texts.items())[: LABELED // 2])
    await project.upload(early)
    file = {
        "projectFileVersion": "2022-05-01",
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": SINGLE,
            "storageInputContainerName": project.container,
            "settings": {"autolabel": {"onUpload": True}},
            "projectName": project.name,
            "language": "en-us",
        },
        "assets": {
            "projectKind": SINGLE,
            "classes": [{"category": "Refund"}],
            "documents": [
                {"location": name, "language": "en-us", "class": {"category": "Refund"}} for name in texts
            ],
        },
    }
    answer = await project.http.post(f"{project.path}/:import", json=file)
    assert (await project.ended(answer.headers["operation-location"]))["status"] == "succeeded"
    await project.upload({name: text for name, text in texts.items() if name not in early})

    async def registered() -> bool:
        documents = await project.documents(status="labeled", top=1_000)
        return len(documents) == LABELED and all(document["length"] for document in documents)

    await eventually("all blobs are read", registered, 120)
    assert (await project.scan())["status"] == "succeeded"  # so nothing of the import is left to do
    assert await fits(project) == []
    assert (await project.get("/autolabel/jobs"))["value"] == []
    assert await project.documents(status="autoLabeled") == []

    # One that can get a suggestion is what a fit is for. One more label tells that fit from one for the import, which
    # might come late.
    await on_upload(project, on=False)
    await project.upload({"extra.txt": "One more label."})
    await seen(project, "extra.txt", suggested=False)
    await project.put_labels("extra.txt", label(SINGLE, "Refund"))
    await on_upload(project)
    await project.upload({"new.txt": "@Refund:73"})
    await seen(project, "new.txt", suggested=True)
    assert [fit["result"]["labeledDocuments"] for fit in await fits(project)] == [LABELED + 1]


@pytest.mark.timeout(300)
async def test_an_upload_after_a_few_changes_of_labels_fits_nothing(new_project: MakeProject) -> None:
    project = await new_project(events=True)
    await project.define("Refund", "Return")
    await on_upload(project)
    await project.upload({"first.txt": "@Refund:73"})
    await seen(project, "first.txt", suggested=True)
    assert len(await fits(project)) == 1

    for number, category in enumerate(("Return", "Refund", "Return")):
        await project.put_labels("~Refund.txt", label(SINGLE, category))
        await project.upload({f"{number}.txt": "@Refund:73"})
        await seen(project, f"{number}.txt", suggested=True)
        assert len(await fits(project)) == 1

    # Ten more labels are a reason, and the next upload brings the fit on.
    more = {f"more/{number}.txt": "@Refund:73" for number in range(10)}
    await project.upload(more)
    for name in more:
        await seen(project, name, suggested=True)
        await project.put_labels(name, label(SINGLE, "Refund"))
    await project.upload({"last.txt": "@Refund:73"})

    async def fitted_again() -> bool:
        return [fit["status"] for fit in await fits(project)] == ["succeeded"] * 2

    await eventually("another fit", fitted_again, 60)
    await seen(project, "last.txt", suggested=True)


@pytest.mark.timeout(300)
async def test_a_fit_that_fails_has_a_reason_and_a_line_in_the_log_and_is_not_repeated(
    new_project: MakeProject, host: Host
) -> None:
    project = await new_project(events=True)
    await project.upload({"odd.txt": "@unfit"})
    await project.define("Refund")
    await project.put_labels("odd.txt", label(SINGLE, "Refund"))
    await on_upload(project)
    await project.upload({"a.txt": "@Refund:73"})

    async def failed() -> Json | None:
        found = await fits(project)
        return found[0] if found and found[0]["status"] == "failed" else None

    fit = await eventually("a failed fit", failed, 60)
    assert fit["errors"][0]["code"] == "FitFailed"
    assert "FloatingPointError" in fit["errors"][0]["message"]
    [job] = (await project.get("/autolabel/jobs"))["value"]
    assert (job["status"], job["errors"][0]["code"]) == ("failed", "FitFailed")
    log = host.log.read_text()
    _, _, after = log.partition(f"Fitting the engine 'scripted' for the project '{project.name}' failed.")
    assert "in fit\n" in after.partition("FloatingPointError")[0]  # the stack, with the place

    for name in ("b.txt", "c.txt"):
        await project.upload({name: "@Refund:73"})
        await seen(project, name, suggested=False)
    assert len(await fits(project)) == 1

    # A person may ask, and labels may change.
    assert (await project.autolabel())["errors"][0]["code"] == "FitFailed"
    assert len(await fits(project)) == 2
    await project.upload({"odd.txt": "An ordinary text."})
    await seen(project, "odd.txt", suggested=False)
    assert (await project.autolabel())["status"] == "succeeded"
    await seen(project, "c.txt", suggested=True)
