"""Timers: bring back what died, purge what is over, compare with the listing (design sections 5 and 6)."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

from shared.domain.ids import derived_job_id, random_job_id
from shared.domain.jobs import Job, JobKind, JobStatus
from shared.domain.project import Project
from shared.services.categories import CategoryService
from shared.services.jobs import BATCH_KINDS, JobService
from shared.services.messages import JOB_QUEUE, JobMessage
from shared.services.planning import Planner
from shared.services.projects import ProjectService
from shared.services.stores import Stores
from shared.storage import keys
from shared.storage.gateways.ports import Delete, RowMissing

log = logging.getLogger("labelbridge.maintenance")

#: A job that nobody touched for so long is asked to go on.
STALE = timedelta(seconds=25)
#: An incarnation is purged again for so long, in case a late writer left something.
PURGED_FOR = timedelta(minutes=30)
#: Batches of one job that one sweep brings back; more come with the next.
REVIVED = 16


class MaintenanceService:
    def __init__(
        self,
        stores: Stores,
        planner: Planner,
        jobs: JobService,
        projects: ProjectService,
        categories: CategoryService,
    ) -> None:
        self._stores = stores
        self._planner = planner
        self._jobs = jobs
        self._projects = projects
        self._categories = categories

    async def sweep(self) -> None:
        """Ask again for everything that should be under way and is not.

        What fails is logged, keeps nothing else waiting, and is tried again by the next sweep.
        """
        for project in await self._stores.projects.all():
            with _alone(f"project {project.name}"):
                await (self._projects.take_out(project) if project.deleting else self._sweep_project(project))
        for job in await self._stores.jobs.open_jobs(None):
            with _alone(f"job {job.id}"):
                await (
                    self._projects.go_on_deleting(job) if job.kind is JobKind.DELETION else self._revive(job)
                )
        for incarnation, since in await self._stores.projects.purges():
            with _alone(f"purge of {incarnation}"):
                await self._purge(incarnation)
                if self._stores.clock() - since > PURGED_FOR:
                    await self._stores.projects.purged(incarnation)
        await self._stores.idempotency.purge()

    async def reconcile(self) -> None:
        """One message a project, so that a large one does not keep the others waiting."""
        for project in await self._stores.projects.all():
            if not project.deleting:
                message = JobMessage(
                    project=project.name,
                    incarnation=project.incarnation,
                    kind="reconcile",
                    job=random_job_id(),
                )
                await self._stores.queues.send(JOB_QUEUE, message.model_dump_json())

    async def _sweep_project(self, project: Project) -> None:
        await self._free(project)
        await self._categories.go_on(project)
        uploads_run = False
        for job in await self._stores.jobs.open_jobs(project.incarnation):
            uploads_run |= job.parameters.get("source") == "upload"
            await self._revive(job)
        until = self._stores.clock() - STALE
        if not uploads_run and await self._stores.todo.any(project.incarnation, until):
            plan_id = derived_job_id(project.incarnation, until.isoformat())
            await self._planner.plan_later(project.name, project.incarnation, plan_id)

    async def _free(self, project: Project) -> None:
        """Let go of what a job still holds that has ended: its worker died in between."""
        lock = project.lock if project.lock and not project.lock.edits_categories else None
        held = (project.training, lock.holder if lock else None)
        for holder in {one for one in held if one is not None}:
            job = await self._stores.jobs.find(project.incarnation, JobKind.TRAIN, holder)
            job = job or await self._stores.jobs.find("", JobKind.IMPORT, holder)
            if job.status.ended if job else holder == project.training:
                await self._stores.gate.unlock(project.name, holder)
                await self._stores.directory.update(project.name, partial(_freed, job=job, holder=holder))

    async def _revive(self, job: Job) -> None:
        now = self._stores.clock()
        if job.batches or (job.kind in BATCH_KINDS and job.status is not JobStatus.NOT_STARTED):
            job = await self._jobs.settle(job)  # one that was planned without batches has ended, too
            if job.status.ended:
                return
            states = {state.number: state for state in await self._stores.jobs.states(job)}
            dead = [
                number
                for number in range(len(job.batches))
                if (state := states.get(number)) is None
                or not (state.done or (state.until and state.until > now))
            ]
            if now - job.updated > STALE:
                await self._jobs.enqueue(job, dead[:REVIVED])
        elif now - job.updated > STALE:
            await self._jobs.send(job)

    async def _purge(self, incarnation: str) -> None:
        for partition in (incarnation, keys.todo_partition(incarnation)):
            async for rows in self._stores.table.pages(partition, select=["v"]):
                for start in range(0, len(rows), 100):
                    try:
                        await self._stores.table.commit(
                            partition, [Delete(row.key) for row in rows[start : start + 100]]
                        )
                    except RowMissing:
                        continue  # another sweep is at it; the next one gets the rest
        await self._stores.artefacts.delete_all(incarnation)


@contextmanager
def _alone(name: str) -> Generator[None]:
    try:
        yield
    except Exception:
        log.exception("The sweep failed at one thing, %s; it goes on with the others.", name)


def _freed(project: Project, job: Job | None, holder: str) -> Project:
    if project.training != holder:
        return project
    trained = job.updated if job and job.status is JobStatus.SUCCEEDED else project.last_trained
    return replace(project, training=None, last_trained=trained)
