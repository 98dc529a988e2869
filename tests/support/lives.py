"""The services in the process of the test, for a project of any kind, with the messages of every queue delivered.

app = living(MemoryStorage(clock=clock), clock)
await app.create(ProjectKind.ENTITIES)
await app.suggested({"a.txt": "@Refund:73 please"}, "Refund")
await app.train("m1")
"""

from dataclasses import replace
from typing import Any, override

from shared.domain.document import ANY_VERSION, Document, document_id
from shared.domain.jobs import AutolabelParameters, Job, JobKind
from shared.domain.labels import EntityLabel, Labels, Region
from shared.domain.names import Names, ProjectKind, random_job_id
from shared.domain.project import Project
from shared.domain.review import Decision
from shared.domain.training import SplitOptions
from shared.runtime.container import Container
from shared.services.jobs.lifecycle import BatchMessage, parse
from shared.services.jobs.stores import build
from shared.services.review.service import Saved, Submitted
from shared.services.training.service import TrainRequest
from tests.support.engines import NAME, ScriptedEngine
from tests.support.services import App, Clock, Sent, Storage, settings
from tests.support.storage.faults import Faults


class Life(App):
    """An app with one project, `p`, of any kind."""

    kind: ProjectKind = ProjectKind.SINGLE_LABEL

    @override
    async def create(
        self, kind: ProjectKind = ProjectKind.SINGLE_LABEL, *, pages: int | None = None, **more: Any
    ) -> Project:
        """`pages`: few, where a test locks labels often."""
        self.kind = kind
        project = await super().create(kind, **more)
        if pages is None:
            return project
        return await self.container.stores.directory.update(
            self.name, lambda found: replace(found, pages=pages)
        )

    def labels(self, category: str, offset: int = 0, length: int = 4) -> Labels:
        """One label in the form of the kind."""
        if self.kind is not ProjectKind.ENTITIES:
            return Labels(categories=(category,))
        entity = EntityLabel(category, offset, length)
        return Labels(regions=(Region(0, offset + length, (entity,)),))

    @override
    async def label(self, location: str, category: str) -> Document:
        return await self.set(location, self.labels(category))

    async def set(self, location: str, labels: Labels | None) -> Document:
        shown = await self.container.documents.set_labels(
            self.name, document_id(location), ANY_VERSION, labels, "tester"
        )
        return shown.document

    async def get(self, location: str) -> Document:
        return (await self.container.documents.get(self.name, document_id(location))).document

    async def pending(self, location: str) -> list[str]:
        """Categories of the suggestions that exist."""
        shown = await self.container.documents.get(self.name, document_id(location))
        found = shown.document.pending(shown.project.generation)
        return [item.category for item in found.items] if found else []

    async def suggested(self, texts: dict[str, str], *categories: str) -> None:
        """Documents with suggestions."""
        await self.upload(dict(texts), events=False)
        await self.container.registering.scan(self.name, random_job_id())
        await self.define(*categories)
        await self.drain()
        await self.autolabel(random_job_id())

    async def planned(self, job_id: str, **parameters: Any) -> list[tuple[str, str]]:
        """An autolabel job whose model is fitted and of which nothing else has run; messages of its first batches."""
        project, now = await self.container.projects.get(self.name), self.container.stores.clock()
        parameters = {"model_label": None, **parameters}
        job = Job.new(JobKind.AUTOLABEL, job_id, project, now, AutolabelParameters(**parameters))
        job, _ = await self.container.stores.jobs.create(job)
        self.sent.waiting.clear()
        await self.container.planner.plan_job(job)
        while others := [
            message for message in self.sent.waiting if not isinstance(parse(message[1]), BatchMessage)
        ]:
            self.sent.waiting.remove(others[0])
            await self.deliver(*others[0])
        return list(self.sent.waiting)

    async def decide(self, location: str, **decision: Any) -> Saved:
        submitted = Submitted(Decision(document_id(location), **decision), ANY_VERSION)
        _, [result] = await self.container.review.save(self.name, [submitted], "reviewer")
        return result.status

    async def train(
        self, label: str = "m1", split: SplitOptions | None = None, *, job_id: str | None = None
    ) -> Job:
        """Train to the end."""
        job_id = job_id or f"train-{label}"
        await self.container.training.start(self.name, TrainRequest(label, split or SplitOptions()), job_id)
        await self.drain()
        return await self.container.training.get(self.name, job_id)

    async def job(self, kind: JobKind, job_id: str) -> Job:
        project = await self.container.projects.get(self.name)
        return await self.container.stores.jobs.get(project.incarnation, kind, job_id)


def living(
    storage: Storage, clock: Clock, *, faults: Faults | None = None, engine: type | None = None, **more: Any
) -> Life:
    """The app over this storage, whose calls fail as `faults` plans; `engine` in the place of the scripted one."""
    table, blobs, queues = storage.table("projects"), storage.blobs, storage.queues
    if faults is not None:
        table, blobs, queues = faults.table(table), faults.blobs(blobs), faults.queues(queues)
    sent = Sent(queues)
    stores = build(Names("labelbridge"), table, blobs, sent, clock)
    container = Container(settings(**more), stores, {NAME: engine or ScriptedEngine})
    return Life(container, sent, blobs)
