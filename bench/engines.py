"""The quality and speed of engines, on the data sets in `../shared/data`: `python -m bench.engines [--quick]`.

Of the services, `azure-openai` has rows if it is configured (docs/engines.md): without labels, and with examples from
the labeled documents. It gets fewer documents (`--asked`), because each costs time and possibly money. The last
column is the tokens per document; `CPU ms` is the CPU time of this process per document.

Score: accuracy (single-label), micro-F1 (multi-label), strict span micro-F1 (entities). Each figure is the mean
over the seeds; a seed draws the labeled documents.
"""

import argparse
import asyncio
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from statistics import fmean

from bench.data_sets import FOLDER, KINDS, DataSet, read
from shared.domain.labels import Example, Prediction, Span
from shared.domain.names import ProjectKind
from shared.domain.project import Category
from shared.engines import (
    Engine,
    EngineNotConfigured,
    Engines,
    NotEnoughExamples,
    ServiceEngine,
    Task,
    local_engines,
)
from shared.engines.azure_openai.engine import AzureOpenAIEngine
from shared.engines.embedded import sentences
from shared.engines.registry import AZURE_OPENAI
from shared.runtime.container import service_engines
from shared.runtime.settings import read_settings

CONFIDENT = 0.8
_BINS = 10


@dataclass(frozen=True, slots=True)
class Figures:
    score: float
    calibration_error: float
    """Expected calibration error of the predictions, in 10 bins."""
    precision: float
    """Precision of predictions with a confidence of at least 0.8; NaN if there are none."""
    coverage: float
    """Share of predictions with such a confidence."""
    train_seconds: float
    documents_per_second: float
    cpu_milliseconds: float
    """CPU time of this process per document, which a busy machine changes little."""
    megabytes: float
    tokens: float = 0.0
    """Tokens per document, for services that are billed by the token."""


async def measure(engine: Engine, data: DataSet, size: int, seed: int, most: int = 500) -> Figures | None:
    """One training and one prediction; None if the engine reports too few labels."""
    labeled, others = data.sample(size, seed)
    test = data.held_out(most)
    started = time.perf_counter()
    try:
        artifact = await engine.fit(data.kind, labeled, unlabeled=others, seed=seed)
    except NotEnoughExamples:
        return None
    trained = time.perf_counter()
    model = await engine.load(artifact)
    await model.predict([test[0].text])
    sentences.MEMORY.forget()  # so that all texts are new
    loaded, used = time.perf_counter(), time.process_time()
    predictions = await model.predict([example.text for example in test])
    speed = len(test) / (time.perf_counter() - loaded)
    milliseconds = (time.process_time() - used) / len(test) * 1e3
    items = list(judge(data.kind, test, predictions))
    return Figures(
        score(data.kind, test, items), calibration_error(items), *confident(items),
        trained - started, speed, milliseconds, len(artifact) / 1e6,
    )  # fmt: skip


async def ask(engine: ServiceEngine, data: DataSet, size: int, seed: int, most: int) -> Figures:
    """As `measure`, for a service: it gets the names of the categories, and examples out of `size` documents."""
    labeled = data.sample(size, seed)[0] if size else []
    names = {
        name
        for example in (*data.train, *data.test)
        for name in (*example.categories, *(s.category for s in example.spans))
    }
    shortest = sorted(labeled, key=lambda example: len(example.text))[: engine.max_examples]
    task = Task(data.kind, tuple(map(Category, sorted(names))), tuple(shortest))
    model = await engine.load(await engine.prepare(task))
    test = data.held_out(most)
    started, used = time.perf_counter(), time.process_time()
    answers = await model.answer([example.text for example in test])
    speed = len(test) / (time.perf_counter() - started)
    milliseconds = (time.process_time() - used) / len(test) * 1e3
    if failed := [answer.failure.message for answer in answers if answer.failure is not None]:
        print(f"{data.name}: {len(failed)} of {len(test)} documents failed: {failed[0]}", file=sys.stderr)
    items = list(judge(data.kind, test, [answer.predictions for answer in answers]))
    tokens = sum(answer.tokens.input + answer.tokens.output for answer in answers) / len(test)
    return Figures(
        score(data.kind, test, items), calibration_error(items), *confident(items),
        0.0, speed, milliseconds, 0.0, tokens,
    )  # fmt: skip


def service(name: str) -> ServiceEngine | None:
    """The service, if the environment configures it."""
    settings, _ = read_settings(os.environ)
    try:
        engine = Engines(service_engines(settings)).get(name)
    except EngineNotConfigured:
        return None
    return engine if isinstance(engine, ServiceEngine) else None


def judge(
    kind: ProjectKind, test: Sequence[Example], predictions: Sequence[Sequence[Prediction]]
) -> Iterable[tuple[float, bool]]:
    """The confidence of each prediction, and whether it is right. Single-label: only the best one."""
    for example, found in zip(test, predictions, strict=True):
        for prediction in found[:1] if kind is ProjectKind.SINGLE_LABEL else found:
            if kind is ProjectKind.ENTITIES:
                span = Span(prediction.category, prediction.offset or 0, prediction.length or 0)
                yield prediction.confidence, span in example.spans
            else:
                yield prediction.confidence, prediction.category in example.categories


def score(kind: ProjectKind, test: Sequence[Example], items: Sequence[tuple[float, bool]]) -> float:
    """Accuracy for single-label, otherwise micro-F1."""
    right = sum(correct for _, correct in items)
    if kind is ProjectKind.SINGLE_LABEL:
        return right / len(test)
    wanted = sum(len(example.spans) + len(example.categories) for example in test)
    return 2 * right / max(1, len(items) + wanted)


def calibration_error(items: Sequence[tuple[float, bool]]) -> float:
    """Mean distance between confidence and the share that is right, with bins weighted by their items; NaN without
    items.
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for confidence, correct in items:
        bins[min(_BINS - 1, int(confidence * _BINS))].append((confidence, correct))
    gaps = [abs(sum(c for c, _ in items_) - sum(r for _, r in items_)) for items_ in bins]
    return sum(gaps) / len(items) if items else math.nan


def confident(items: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Precision and coverage at a confidence of at least 0.8."""
    sure = [correct for confidence, correct in items if confidence >= CONFIDENT]
    precision = sum(sure) / len(sure) if sure else math.nan
    return precision, len(sure) / len(items) if items else 0.0


def mean(runs: Sequence[Figures]) -> Figures:
    """The mean of each figure over the runs that have it."""
    columns = zip(*map(astuple, runs), strict=True)
    known = ([value for value in column if not math.isnan(value)] for column in columns)
    return Figures(*(fmean(values) if values else math.nan for values in known))


async def main(arguments: argparse.Namespace) -> None:
    engine = Engines(local_engines()).get(arguments.engine)
    language_model = service(AZURE_OPENAI)
    titles = f"{'score':>8}{'ECE':>7}{'P@.8':>7}{'cov@.8':>8}"
    titles += f"{'train s':>9}{'docs/s':>8}{'CPU ms':>8}{'MB':>6}{'tokens':>8}"
    print(f"{'set':<11}{'engine':<13}{'labeled':>8}{titles}")
    if language_model is None:
        print(f"{AZURE_OPENAI} is not configured, and has no rows.", file=sys.stderr)
    for name in arguments.sets:
        data = read(name)
        for size in arguments.sizes:
            runs = [await measure(engine, data, size, seed) for seed in range(arguments.seeds)]
            print(_row(name, engine.name, size, [run for run in runs if run is not None]), flush=True)
        if language_model is not None:
            for size in (0, max(arguments.sizes)):
                run = await ask(language_model, data, size, 0, arguments.asked)
                print(_row(name, language_model.name, size, [run]), flush=True)
    if isinstance(language_model, AzureOpenAIEngine):
        await language_model.aclose()


def _row(name: str, engine: str, size: int, runs: Sequence[Figures]) -> str:
    if not runs:
        return f"{name:<11}{engine:<13}{size:>8}   too few labels"
    f = mean(runs)
    quality = f"{f.score:>8.3f}{f.calibration_error:>7.3f}{f.precision:>7.3f}{f.coverage:>8.3f}"
    cost = f"{f.train_seconds:>9.2f}{f.documents_per_second:>8.1f}{f.cpu_milliseconds:>8.2f}"
    cost += f"{f.megabytes:>6.2f}{f.tokens:>8.0f}"
    return f"{name:<11}{engine:<13}{size:>8}{quality}{cost}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--sets", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 30, 100, 300])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--asked", type=int, default=100, help="documents that a service is asked about, per row"
    )
    parser.add_argument("--quick", action="store_true", help="100 labeled documents and one seed")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.seeds = [100], 1
    return arguments


if __name__ == "__main__":
    if not FOLDER.is_dir():
        sys.exit(f"There is no folder {FOLDER} with data sets.")
    asyncio.run(main(_arguments()))
