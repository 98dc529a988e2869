"""The app's own container of blobs, and trained models: rows `model|{label}` of a project, whose files are in it."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from datetime import datetime

from shared.domain.autolabel import LabelCounts, LastFit
from shared.domain.errors import ModelNotFound, Unavailable
from shared.domain.jobs import Job, JobKind, TrainParameters
from shared.domain.names import ProjectKind, Studio
from shared.domain.project import Project
from shared.domain.training import SplitKind, SplitOptions, TrainedModel
from shared.storage.gateways.ports import (
    CHUNK,
    Blobs,
    ContainerMissing,
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowMissing,
    Table,
    UpsertReplace,
    Value,
)
from shared.storage.jobs import JobStore
from shared.storage.rows import (
    fit_key,
    int_of,
    key_range,
    model_key,
    packed_values,
    str_of,
    unpacked_values,
)


class Artifacts:
    def __init__(self, blobs: Blobs, container: str) -> None:
        self._blobs = blobs
        self._container = container

    async def read(self, name: str) -> bytes | None:
        content = await self._blobs.read(self._container, name)
        return content.data if content else None

    def stream(self, name: str) -> AsyncIterator[bytes]:
        """A blob piece by piece; nothing if it is missing. Raises BlobChanged when it is replaced meanwhile."""
        return self._blobs.stream_read(self._container, name)

    async def exists(self, name: str) -> bool:
        return await self._blobs.stat(self._container, name) is not None

    async def write(self, name: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write over what is there."""
        try:
            await self._blobs.write(self._container, name, data, content_type=content_type)
        except ContainerMissing:
            await self._blobs.create_container(self._container)
            await self._blobs.write(self._container, name, data, content_type=content_type)

    async def write_stream(self, name: str, chunks: AsyncIterable[bytes], content_type: str) -> None:
        """Write piece by piece, each of some size, for each is a call; nothing is visible before the last piece.

        What is no longer than a piece is one call.
        """
        pieces = _collected(chunks)
        first, second = await anext(pieces, b""), await anext(pieces, None)
        if second is None:
            await self.write(name, first, content_type=content_type)
            return

        async def whole() -> AsyncIterator[bytes]:
            yield first
            yield second
            async for piece in pieces:
                yield piece

        await self._blobs.create_container(self._container)
        await self._blobs.stream_write(self._container, name, whole(), content_type=content_type)

    async def delete(self, name: str) -> None:
        await self._blobs.delete(self._container, name)

    async def delete_export(self, incarnation: str, job_id: str, file_id: str = "") -> None:
        """The file of an export job, with all its parts; without `file_id` all of its files."""
        name = export_name(incarnation, job_id, file_id)
        if not file_id:
            await self.delete(f"{name}.json")
            name = f"{name}/"
        await self._blobs.delete_prefix(self._container, name)

    async def delete_exchanges(self, incarnation: str, job_id: str) -> None:
        """What batches of the job kept between two messages, and none came to delete."""
        await self._blobs.delete_prefix(self._container, exchange_name(incarnation, job_id, ""))

    async def delete_all(self, incarnation: str) -> int:
        """Everything of one incarnation of a project; return how many blobs."""
        return await self._blobs.delete_prefix(self._container, f"{incarnation}/")


def exchange_name(incarnation: str, job_id: str, batch: int | str) -> str:
    return f"{incarnation}/exchanges/{job_id}/{batch}"


def export_name(incarnation: str, job_id: str, file_id: str = "", part: int | None = None) -> str:
    """Of the blob with a part of an export; without `part` how the names of all parts begin.

    Without `file_id` the name, without its extension, that the one file of a job had before exports had parts.
    """
    name = f"{incarnation}/exports/{job_id}"
    if file_id:
        name = f"{name}/{file_id}/"
    return name if part is None else f"{name}{part}.json"


async def _collected(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least CHUNK, but for the last."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


class ModelStore:
    """The project row makes a model visible (rule T4); until the model has its row, that of its train job holds it.

    So what reads models takes the project as it was read.
    """

    def __init__(self, table: Table, jobs: JobStore) -> None:
        self._table = table
        self._jobs = jobs

    async def all(self, project: Project) -> list[TrainedModel]:
        """Newest first."""
        low, high = key_range(model_key(""))
        rows = await self._table.query(project.incarnation, low, high)
        models = {model.label: model for model in map(_decode, rows)}
        without_row = await self._without_row(project)
        if without_row is not None:
            models[without_row.label] = without_row
        return sorted(models.values(), key=lambda model: model.trained, reverse=True)

    async def find(self, project: Project, label: str) -> TrainedModel | None:
        without_row = await self._without_row(project)
        if without_row is not None and without_row.label == label:
            return without_row
        return await self.stored(project.incarnation, label)

    async def stored(self, incarnation: str, label: str) -> TrainedModel | None:
        """The model that has the row of this label."""
        row = await self._table.get(incarnation, model_key(label))
        return _decode(row) if row else None

    async def get(self, project: Project, label: str) -> TrainedModel:
        """Raises ModelNotFound."""
        model = await self.find(project, label)
        if model is None:
            raise ModelNotFound(label)
        return model

    async def _without_row(self, project: Project) -> TrainedModel | None:
        """The model that became visible a moment ago; it has no ETag yet."""
        if project.training is None or not project.trained:
            return None
        job = await self._jobs.find(project.incarnation, JobKind.TRAIN, project.training)
        return job.parameters_as(TrainParameters).model if job else None

    async def save_with(self, job: Job, model: TrainedModel) -> Job:
        """The model, and the end of the job that made it, in one transaction.

        Raises RowChanged when the job was canceled or ended meanwhile: then there is no model.
        """
        return await self._jobs.save(job, UpsertReplace(model_key(model.label), _encode(model)))

    async def replace_with(self, job: Job, model: TrainedModel) -> Job:
        """As `save_with` for a model that was read: one that is gone does not come back.

        Raises RowChanged also when the model was deleted or trained again meanwhile, Unavailable before it has a row.
        """
        _require_row(model)
        return await self._jobs.save(job, Replace(model_key(model.label), _encode(model), model.etag))

    async def delete(self, incarnation: str, model: TrainedModel) -> None:
        """Raises ModelNotFound when it is gone, RowChanged when it has changed, Unavailable before it has a row."""
        _require_row(model)
        try:
            await self._table.commit(incarnation, [Delete(model_key(model.label), model.etag)])
        except RowMissing as error:
            raise ModelNotFound(model.label) from error


def _require_row(model: TrainedModel) -> None:
    if not model.etag:
        raise Unavailable(f"The model '{model.label}' is being saved; try again in a moment.", retry_after=1)


class FitStore:
    """The last fit of each engine: rows `fit|{engine}` of a project."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def last(self, incarnation: str, engine: str) -> LastFit | None:
        row = await self._table.get(incarnation, fit_key(engine))
        if row is None:
            return None
        values, at = row.values, row.values["at"]
        if not isinstance(at, datetime):
            raise TypeError(f"The row {row.key} holds no time.")
        before = values.get("before")
        labeled, categories = unpacked_values(values)
        return LastFit(
            learned=str_of(values, "learned"),
            artifact=str_of(values, "artifact"),
            kind=ProjectKind(str_of(values, "kind")),
            studio=Studio(str_of(values, "studio")),
            counts=LabelCounts(labeled, categories),
            at=at,
            failure=str_of(values, "failure"),
            former=str_of(values, "former"),
            in_use=tuple(str_of(values, "inUse").split()),
            edits=int_of(values, "edits"),
            before=before if isinstance(before, datetime) else None,
            etag=row.etag,
        )

    async def save(self, incarnation: str, engine: str, fit: LastFit) -> LastFit:
        """Replace the row as it was read. Raises RowChanged when someone else was first."""
        values: dict[str, Value] = {
            "v": 1,
            "learned": fit.learned,
            "artifact": fit.artifact,
            "kind": fit.kind.value,
            "studio": fit.studio.value,
            "at": fit.at,
            "failure": fit.failure,
            "former": fit.former,
            "inUse": " ".join(fit.in_use),
            "edits": fit.edits,
            **({"before": fit.before} if fit.before else {}),
            **packed_values([fit.counts.labeled, dict(fit.counts.by_category)]),
        }
        key = fit_key(engine)
        try:
            [etag] = await self._table.commit(
                incarnation, [Replace(key, values, fit.etag) if fit.etag else Insert(key, values)]
            )
        except (RowExists, RowMissing) as error:
            raise RowChanged(key=key) from error
        return replace(fit, etag=etag)


def _encode(model: TrainedModel) -> dict[str, Value]:
    kind: dict[str, Value] = {"kind": model.kind.value} if model.kind else {}
    return {
        "v": 1,
        **kind,
        "modelId": model.model_id,
        "engine": model.engine,
        "trained": model.trained,
        "seconds": model.seconds,
        "artefact": model.artifact,  # as earlier versions spell it
        "summary": model.summary,
        "results": model.results,
        "split": model.split.kind.value,
        "testing": model.split.testing,
        "edits": model.edits,
    }


def _decode(row: Row) -> TrainedModel:
    values = row.values
    trained, kind = values["trained"], str_of(values, "kind")
    if not isinstance(trained, datetime):
        raise TypeError(f"The row {row.key} has no time.")
    return TrainedModel(
        label=row.key.split("|", 1)[1],
        model_id=str_of(values, "modelId"),
        engine=str_of(values, "engine"),
        trained=trained,
        seconds=int_of(values, "seconds"),
        artifact=str_of(values, "artefact"),
        summary=str_of(values, "summary"),
        results=str_of(values, "results"),
        split=SplitOptions(SplitKind(str_of(values, "split")), int_of(values, "testing")),
        kind=ProjectKind(kind) if kind else None,
        edits=int_of(values, "edits"),
        etag=row.etag,
    )
