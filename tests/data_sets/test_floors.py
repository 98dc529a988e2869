"""The embedded engine on real documents: the floors of quality with 100 labeled documents, mean over seeds.

The data sets lie beside the project (`../shared/data`), not in it. All sizes and sets: `make bench-engines`.
"""

import pytest

from bench.data_sets import FOLDER, read
from bench.engines import Figures, mean, measure
from shared.engines import Engines, local_engines

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no data sets: there is no folder {FOLDER}")

HIGHEST_CALIBRATION_ERROR = 0.10


@pytest.mark.parametrize(
    ("name", "floor", "seeds", "documents"),
    [
        ("banking20", 0.68, 4, 400),
        ("smsspam", 0.92, 4, 400),
        ("nlupp", 0.56, 4, 400),
        ("reuters12", 0.73, 2, 250),
        ("bc5cdr", 0.56, 1, 200),
        ("germeval14", 0.20, 2, 400),
    ],
)
async def test_quality_with_100_labeled_documents(name: str, floor: float, seeds: int, documents: int):
    figures = await _figures(name, 100, range(seeds), documents)
    assert figures.score >= floor
    assert figures.calibration_error <= HIGHEST_CALIBRATION_ERROR


async def test_confidence_from_08_on_can_be_relied_on():
    figures = await _figures("banking20", 300, range(2), 400)
    assert figures.score >= 0.83
    assert figures.precision >= 0.88
    assert figures.coverage >= 0.5


async def test_every_predicted_span_is_in_its_text():
    data = read("wnut17")
    engine = Engines(local_engines()).get("embedded")
    model = await engine.load(await engine.fit(data.kind, data.sample(60, 0)[0]))
    texts = [example.text for example in data.held_out(100)]
    for text, found in zip(texts, await model.predict(texts), strict=True):
        for prediction in found:
            assert prediction.offset is not None
            assert prediction.length
            assert text[prediction.offset : prediction.offset + prediction.length].strip()


async def _figures(name: str, size: int, seeds: range, documents: int) -> Figures:
    engine = Engines(local_engines()).get("embedded")
    data = read(name)
    runs = [await measure(engine, data, size, seed, documents) for seed in seeds]
    return mean([run for run in runs if run is not None])
