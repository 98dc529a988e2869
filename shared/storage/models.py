"""Trained models: rows `model|{label}` of a project."""

from datetime import datetime

from shared.domain.errors import NotFound
from shared.domain.jobs import Job
from shared.domain.kinds import ProjectKind
from shared.domain.splitting import SplitKind, SplitOptions
from shared.domain.trained import TrainedModel
from shared.storage import keys, packing
from shared.storage.gateways.ports import Delete, Replace, Row, RowMissing, Table, UpsertReplace, Value
from shared.storage.jobs import JobStore


class ModelNotFound(NotFound):
    def __init__(self, label: str) -> None:
        super().__init__(f"The project has no model '{label[:60]}'.", target="trainedModelLabel")


class ModelStore:
    def __init__(self, table: Table, jobs: JobStore) -> None:
        self._table = table
        self._jobs = jobs

    async def all(self, incarnation: str) -> list[TrainedModel]:
        """Newest first."""
        low, high = keys.prefix(keys.model(""))
        rows = await self._table.query(incarnation, low, high)
        return sorted(map(_decode, rows), key=lambda one: one.trained, reverse=True)

    async def find(self, incarnation: str, label: str) -> TrainedModel | None:
        row = await self._table.get(incarnation, keys.model(label))
        return _decode(row) if row else None

    async def get(self, incarnation: str, label: str) -> TrainedModel:
        """Raises ModelNotFound."""
        model = await self.find(incarnation, label)
        if model is None:
            raise ModelNotFound(label)
        return model

    async def save_with(self, job: Job, model: TrainedModel) -> Job:
        """The model, and the end of the job that made it, in one transaction.

        Raises RowChanged when the job was cancelled or ended meanwhile: then there is no model.
        """
        return await self._jobs.save(job, UpsertReplace(keys.model(model.label), _encode(model)))

    async def replace_with(self, job: Job, model: TrainedModel) -> Job:
        """As `save_with` for a model that was read: one that is gone does not come back.

        Raises RowChanged also when the model was deleted or trained again meanwhile.
        """
        return await self._jobs.save(job, Replace(keys.model(model.label), _encode(model), model.etag))

    async def delete(self, incarnation: str, model: TrainedModel) -> None:
        """Raises ModelNotFound when it is gone, RowChanged when it is not as it was read."""
        try:
            await self._table.commit(incarnation, [Delete(keys.model(model.label), model.etag)])
        except RowMissing as error:
            raise ModelNotFound(model.label) from error


def _encode(model: TrainedModel) -> dict[str, Value]:
    kind: dict[str, Value] = {"kind": model.kind.value} if model.kind else {}
    return {
        "v": 1,
        **kind,
        "modelId": model.model_id,
        "engine": model.engine,
        "trained": model.trained,
        "seconds": model.seconds,
        "artefact": model.artefact,
        "summary": model.summary,
        "results": model.results,
        "split": model.split.kind.value,
        "testing": model.split.testing,
    }


def _decode(row: Row) -> TrainedModel:
    values = row.values
    trained, kind = values["trained"], packing.string(values, "kind")
    if not isinstance(trained, datetime):
        raise TypeError(f"The row {row.key} holds no time.")
    return TrainedModel(
        label=row.key.split("|", 1)[1],
        model_id=packing.string(values, "modelId"),
        engine=packing.string(values, "engine"),
        trained=trained,
        seconds=packing.integer(values, "seconds"),
        artefact=packing.string(values, "artefact"),
        summary=packing.string(values, "summary"),
        results=packing.string(values, "results"),
        split=SplitOptions(SplitKind(packing.string(values, "split")), packing.integer(values, "testing")),
        kind=ProjectKind(kind) if kind else None,
        etag=row.etag,
    )
