"""Rows of trained models, as earlier versions wrote them."""

from datetime import UTC, datetime

from shared.domain.names import ProjectKind
from shared.domain.training import SplitKind, SplitOptions, TrainedModel
from shared.storage.gateways.ports import Insert, Value
from shared.storage.jobs import JobStore
from shared.storage.models import ModelStore
from shared.storage.rows import model_key
from tests.support.storage.memory import MemoryStorage

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROW: dict[str, Value] = {
    "v": 1,
    "kind": "CustomEntityRecognition",
    "modelId": "id",
    "engine": "embedded",
    "trained": AT,
    "seconds": 7,
    "artefact": "i/models/m/artefact",
    "summary": "i/models/m/summary",
    "results": "i/models/m/results",
    "split": "percentage",
    "testing": 20,
}


async def test_a_model_of_an_earlier_version_can_be_read() -> None:
    table = MemoryStorage().table("projects")
    await table.commit("i", [Insert(model_key("m"), ROW)])
    assert await ModelStore(table, JobStore(table)).stored("i", "m") == TrainedModel(
        label="m",
        model_id="id",
        engine="embedded",
        trained=AT,
        seconds=7,
        artifact="i/models/m/artefact",
        summary="i/models/m/summary",
        results="i/models/m/results",
        split=SplitOptions(SplitKind.PERCENTAGE, 20),
        kind=ProjectKind.ENTITIES,
    )
