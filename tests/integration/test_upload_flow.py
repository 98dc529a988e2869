"""The main job, end to end: uploads get suggestions automatically, each with an outcome (rules A1, A5, A8)."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.integration.conftest import MakeProject
from tests.support.api import Project, accept
from tests.support.waiting import eventually

type Json = dict[str, Any]
UPLOADS = 1_000


async def write(project: Project, texts: dict[str, str]) -> None:
    """Write blobs side by side, as a tool for uploads does."""
    writers = asyncio.Semaphore(16)

    async def write_blob(name: str, text: str) -> None:
        async with writers:
            await project.upload({name: text})

    await asyncio.gather(*(write_blob(name, text) for name, text in texts.items()))


async def _on_upload(project: Project) -> None:
    answer = await project.http.patch(project.path, json={"settings": {"autolabel": {"onUpload": True}}})
    assert answer.status_code == 200


async def _outcomes(project: Project) -> list[Json]:
    """Every outcome of every job of the project."""
    found: list[Json] = []
    for job in (await project.get("/autolabel/jobs", top=1000))["value"]:
        url, query = f"{project.path}/autolabel/jobs/{job['jobId']}/documents", {"top": "1000"}
        while (answer := await project.http.get(url, params=query)).status_code == 200:
            found += answer.json()["value"]
            if "continuationToken" not in answer.json():
                break
            query["continuationToken"] = answer.json()["continuationToken"]
        else:
            assert answer.status_code == 404  # it found nothing to do, and removed itself
    return found


@pytest.mark.timeout(400)
async def test_a_thousand_uploads_are_labeled_by_events_and_each_is_accounted_for(
    new_project: MakeProject,
) -> None:
    project = await new_project(events=True)
    await project.define("Refund")
    await _on_upload(project)
    texts = {f"in/{n:04}.txt": f"@Refund:{n % 100} number {n}" for n in range(UPLOADS - 2)}
    texts |= {"in/nothing.txt": "says nothing", "in/blank.txt": " "}

    await write(project, texts)

    async def accounted() -> bool:
        jobs = (await project.get("/autolabel/jobs", top=1000))["value"]
        # A row that the next plan still sees makes one more job, which finds nothing and vanishes.
        ended = all(job["status"] == "succeeded" for job in jobs)
        return ended and sum(job["result"]["documentsDone"] for job in jobs) >= UPLOADS

    try:
        # What the emulator's queue loses is restarted by the sweep, within minutes.
        await eventually("every upload has an outcome", accounted, 300)
    except AssertionError as late:
        jobs = (await project.get("/autolabel/jobs", top=1000))["value"]
        late.add_note(f"{Counter((job['status'], job['result']['documentsDone']) for job in jobs)}")
        raise
    outcomes = [outcome for outcome in await _outcomes(project) if outcome["location"] in texts]
    assert Counter(outcome["location"] for outcome in outcomes).most_common(1)[0][1] == 1
    assert Counter(outcome["outcome"] for outcome in outcomes) == {
        "suggested": UPLOADS - 2,
        "nothingFound": 1,
        "skipped": 1,
    }
    documents = await project.documents(status="autoLabeled", top=1000)
    assert len(documents) == UPLOADS - 2
    for document in documents:
        number = int(document["location"][3:7])
        assert [s["confidence"] for s in document["suggestions"]] == [number % 100 / 100]
    assert [d["location"] for d in await project.documents(status="rejected")] == ["in/blank.txt"]
    jobs = (await project.get("/autolabel/jobs", top=1000))["value"]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert all(job["result"]["percentComplete"] == 100 for job in jobs)


async def test_the_embedded_engine_labels_uploads_and_people_decide(new_project: MakeProject) -> None:
    """The engine that ships, from a dozen labels to a label that a person accepted."""
    project = await new_project(events=True, create=False)
    await project.create(settings={"autolabel": {"onUpload": True, "engine": "embedded"}})
    words = {"Refund": "I want my money back for the order", "Login": "I cannot sign in with my password"}
    for n in range(6):
        await project.upload({f"{name}{n}.txt": f"{text}, case {n}." for name, text in words.items()})
    await project.registered(12)
    for n in range(6):
        for name in words:
            await project.put_labels(f"{name}{n}.txt", {"class": {"category": name}})

    await project.upload({"new.txt": "Please give me my money back, the order is late."})

    async def suggested() -> Json | None:
        found = await project.documents(locationPrefix="new", status="autoLabeled")
        return found[0] if found else None

    document = await eventually("a suggestion of the embedded engine", suggested)
    [suggestion] = document["suggestions"]
    assert (suggestion["category"], suggestion["engine"]) == ("Refund", "embedded")
    assert 0 < suggestion["confidence"] <= 1
    [result] = await project.review([accept(document)])
    assert result["document"]["class"] == {"category": "Refund"}
    assert result["document"]["status"] == "labeled"
