"""What the parts of the demo share: the API, the storage account, the console, and how to watch a job."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient

from samples.api import ENDED, Api, Json, ProjectApi
from samples.console import Console
from samples.texts import Sample


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything that a part works with."""

    api: Api
    blobs: BlobServiceClient
    console: Console

    def fresh(self, project: ProjectApi, container: str) -> ContainerClient:
        """Remove what an earlier run of the demo left, and create the container."""
        if project.delete():
            self.console.say(f"Deleted the project '{project.name}' of an earlier run.")
        client = self.container(container)
        for blob in client.list_blob_names():
            client.delete_blob(blob)
        return client

    def container(self, name: str) -> ContainerClient:
        """A container, created if it does not exist."""
        client = self.blobs.get_container_client(name)
        with suppress(ResourceExistsError):
            client.create_container()
        return client

    def upload(self, container: ContainerClient, samples: Iterable[Sample]) -> None:
        """Write texts as blobs: a user needs to do nothing else."""
        for sample in samples:
            container.upload_blob(sample.location, sample.text.encode(), overwrite=True)

    def watch_uploads(self, project: ProjectApi, count: int) -> list[Json]:
        """Follow the jobs that uploads start until `count` documents have suggestions; the jobs that made them."""

        def look() -> list[Json] | None:
            jobs: list[Json] = project.get("/autolabel/jobs")["value"]
            made = [job for job in jobs if _suggested(job)]
            done = sum(map(_suggested, made))
            running = next((job for job in jobs if job["status"] not in ENDED), jobs[0] if jobs else None)
            self.console.progress(_progress(running, done, count))
            ended = all(job["status"] in ENDED for job in jobs)
            return made if done >= count and ended else None

        return self.api.until(f"suggestions for {count} documents", look)


def _suggested(job: Json) -> int:
    """The number of documents for which the job made suggestions."""
    outcomes: dict[str, int] = job.get("result", {}).get("outcomes", {})
    return outcomes.get("suggested", 0)


def _progress(job: Json | None, done: int, count: int) -> str:
    if job is None:
        return "no job yet: waiting for the events"
    percent = job.get("result", {}).get("percentComplete", 0)
    return f"job {job['jobId'][:8]}  {job['status']:<10}  {percent:>3} %   {done} of {count} have suggestions"


def reviewed(results: Sequence[Json]) -> str:
    """The outcome of a save: `25 saved`, or counts of other statuses."""
    statuses = [result["status"] for result in results]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
