"""The host is killed in the middle of a job: the job continues, and nothing is done twice (rule A6)."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.api import Project, client, unique
from tests.support.azurite import Azurite
from tests.support.hosts import QUIET, Host, running_host
from tests.support.waiting import eventually

COUNT = 300
#: Seconds until the messages of a host that died come back by themselves: only the sweep can bring its work back.
NEVER = 600


@pytest.mark.timeout(300)
async def test_a_job_goes_on_after_kill_9_and_ends_within_a_minute(azurite: Azurite, tmp_path: Path) -> None:
    """Some batches are done, one holds in the engine, others wait, when the host dies."""
    prefix = unique("k").replace("-", "")[:12]
    settings = {"SWEEP_SCHEDULE": "*/5 * * * * *"}
    async with azurite.storage(prefix) as clients:
        container = unique(QUIET)
        await clients.blobs.create_container(container)
        texts = {f"{n:03}.txt": f"@Refund:{n % 100} number {n}" for n in range(COUNT)} | {
            "hold.txt": "@Refund:5 @hold"
        }
        with running_host(azurite, prefix, tmp_path, settings, NEVER) as first:
            async with client(first.url) as http:
                project = Project(http, clients.blobs, unique("p"), container)
                await project.create()
                await project.upload(texts)
                await project.define("Refund")
                await project.registered(COUNT + 2)
                first.hold.touch()
                started = await http.post(f"{project.path}/autolabel/jobs", json={})
                job_id = started.headers["operation-location"].split("/jobs/")[1].split("?")[0]
                await _half_done(project, job_id)
            first.kill()
        first.hold.unlink()
        with running_host(azurite, prefix, tmp_path, settings, NEVER) as second:
            await _ends(second, project, job_id)


async def _half_done(project: Project, job_id: str) -> None:
    async def look() -> bool:
        job = await project.get(f"/autolabel/jobs/{job_id}")
        assert job["status"] in {"notStarted", "running"}  # a model is fitted first
        return job["result"]["documentsDone"] > COUNT // 4

    await eventually("a part of the job is done", look)


async def _ends(host: Host, before: Project, job_id: str) -> None:
    async with client(host.url) as http:
        project = Project(http, before.blobs, before.name, before.container)
        job = await project.ended(f"{project.path}/autolabel/jobs/{job_id}", 60)

        assert job["status"] == "succeeded"
        assert job["result"]["outcomes"] == {
            "suggested": COUNT + 1,
            "nothingFound": 0,
            "skipped": 0,
            "failed": 0,
        }
        page = await project.get(f"/autolabel/jobs/{job_id}/documents", top=1000)
        outcomes = [row["documentId"] for row in page["value"]]
        assert len(outcomes) == COUNT + 1
        assert Counter(outcomes).most_common(1)[0][1] == 1
        documents = await project.documents(status="autoLabeled", top=1000)
        assert len(documents) == COUNT + 1
        assert {s["jobId"] for d in documents for s in d["suggestions"]} == {job_id}
        assert all(len(d["suggestions"]) == 1 for d in documents)
        assert len((await project.get("/autolabel/jobs"))["value"]) == 1
