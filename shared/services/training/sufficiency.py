"""Whether there are enough labels to train a model and to test it (rules T5, T9).

Only documents that a training can use count: labeled in the active studio, with a blob that still has the labeled
text.
"""

from collections import Counter
from collections.abc import Sequence

from shared.domain.autolabel import LabelCounts
from shared.domain.errors import InvalidArgument
from shared.domain.names import Dataset, ProjectKind
from shared.domain.text import BEYOND
from shared.domain.training import LeftOut, SplitDocument, SplitKind, SplitOptions, split, tests_of
from shared.engines.base import Engine
from shared.services.training.model_cache import missing_for

#: No engine needs more labeled documents than this.
MOST_NEEDED = 10_000


def check_training(
    engine: Engine,
    kind: ProjectKind,
    documents: Sequence[SplitDocument],
    options: SplitOptions,
    left_out: Sequence[LeftOut],
    apart: int = 0,
) -> None:
    """Raises InvalidArgument with the rule that the split labels would break, and `left_out` as details. Raises
    EngineError.

    `apart`: the number of labeled documents in the Test set that are not among `documents`.
    """
    train_set = [document for document in documents if document.dataset is Dataset.TRAIN]
    labeled = len(train_set)
    needed = _needed(engine, kind, options)
    more = _not_counted(len(documents) - labeled + apart, left_out)
    chosen = set(split(documents, options).train)
    wrong = _missing(engine, kind, [document for document in train_set if document.id in chosen], needed)
    if labeled < needed:
        text = f"{_few(engine, kind, labeled, needed, options)}{' ' + wrong if wrong else ''}{more}"
        enough = _fitted(engine, kind, labeled)
        target = "evaluationOptions.testingSplitPercentage" if enough else "documents"
        raise InvalidArgument(text, target=target, details=_details(left_out))
    if wrong is not None:
        raise InvalidArgument(wrong + more, target="documents", details=_details(left_out))
    check_testing(documents, options, left_out, "evaluationOptions.", apart)


def check_testing(
    documents: Sequence[SplitDocument],
    options: SplitOptions,
    left_out: Sequence[LeftOut],
    field: str = "",
    apart: int = 0,
) -> None:
    """Raises InvalidArgument if no document would test the model; `field` is the prefix of the field's name."""
    tests = sum(document.dataset is Dataset.TEST for document in documents)
    trains = len(documents) - tests
    if options.kind is SplitKind.MANUAL:
        text = "A manual split needs at least 1 labeled document in the Test set."
        enough, others = tests >= 1, 0
    else:
        text = (
            f"A percentage split needs at least 2 labeled documents in the Train set ({2 - trains} missing)."
        )
        enough, others = trains >= 2, tests + apart
    if not enough:
        text += _not_counted(others, left_out)
        raise InvalidArgument(text, target=f"{field}kind", details=_details(left_out))


def _needed(engine: Engine, kind: ProjectKind, options: SplitOptions) -> int:
    """The fewest labeled documents in the Train set from which the split leaves enough for the engine."""
    for labeled in range(MOST_NEEDED):
        manual = options.kind is SplitKind.MANUAL
        tests = 0 if manual else tests_of(labeled, options.testing)
        if labeled > tests and (manual or tests) and _fitted(engine, kind, labeled - tests):
            return labeled
    return 0


def _fitted(engine: Engine, kind: ProjectKind, documents: int) -> bool:
    """Whether the engine can be fitted on this number of documents, if each has any category."""
    counts = LabelCounts(documents, {"a": documents, "b": documents})
    return missing_for(engine, kind, counts) is None


def _few(engine: Engine, kind: ProjectKind, labeled: int, needed: int, options: SplitOptions) -> str:
    """The rule about their number. A percentage split sets documents aside for testing."""
    has = f"{needed - labeled} missing"
    if options.kind is SplitKind.MANUAL:
        documents = "1 labeled document" if needed == 1 else f"{needed:,} labeled documents"
        return f"Training needs at least {documents} in the Train set ({has})."
    left = labeled - tests_of(labeled, options.testing)
    rule = (
        f"Training with {options.testing} percent for testing needs at least {needed} labeled documents in the "
        f"Train set ({has})."
    )
    if not _fitted(engine, kind, labeled):
        return rule
    return f"{rule} Of {labeled}, only {left} would be left to train on."


def _missing(
    engine: Engine, kind: ProjectKind, documents: Sequence[SplitDocument], enough: int
) -> str | None:
    """What the engine lacks besides documents."""
    counts = Counter(name for document in documents for name in document.labels.used_categories())
    return missing_for(engine, kind, LabelCounts(max(enough, len(documents)), counts))


def _not_counted(tests: int, left_out: Sequence[LeftOut]) -> str:
    """Labeled documents that the caller may have counted."""
    parts = [f"{tests} in the Test set"] if tests else []
    unusable = [found for found in left_out if not found.entities and found.code != BEYOND]
    reasons = [f"{found.count:,} {found.code}" for found in unusable]
    count = sum(found.count for found in unusable)
    parts += [f"{count:,} that cannot be used ({', '.join(reasons)})"] if count else []
    return f" Not counted: {' and '.join(parts)}." if parts else ""


def _details(left_out: Sequence[LeftOut]) -> tuple[InvalidArgument, ...]:
    return tuple(
        InvalidArgument(found.message, target="documents", inner_code=found.code) for found in left_out
    )
