"""Whether the labels of a project suffice to train a model, and to test it (rules T4, T5).

Only documents count that a training can use: labeled by the active studio, with a blob, not rejected.
"""

from collections import Counter
from collections.abc import Sequence

from shared.domain.errors import InvalidArgument
from shared.domain.kinds import Dataset, ProjectKind
from shared.domain.splitting import SplitDocument, SplitKind, SplitOptions, split
from shared.engines.base import Engine


def check_training(
    engine: Engine,
    kind: ProjectKind,
    documents: Sequence[SplitDocument],
    options: SplitOptions,
    unusable: int,
) -> None:
    """Raises InvalidArgument with the rule that the split labels would break.

    `unusable` labeled documents are not among `documents`: it is told why they do not count.
    """
    train_set = [one for one in documents if one.dataset is Dataset.TRAIN]
    fault = _missing(engine, kind, train_set)
    if fault is not None:
        told = _not_counted(len(documents) - len(train_set), unusable)
        raise InvalidArgument(fault + told, target="documents")
    check_testing(documents, options, "evaluationOptions.")
    chosen = set(split(documents, options).train)
    fault = _missing(engine, kind, [one for one in train_set if one.id in chosen])
    if fault is not None:
        text = (
            f"Of {len(train_set)} labeled documents of the Train set {len(chosen)} are left for training when "
            f"{options.testing} percent are for testing. {fault}"
        )
        raise InvalidArgument(text, target="evaluationOptions.testingSplitPercentage")


def check_testing(documents: Sequence[SplitDocument], options: SplitOptions, field: str = "") -> None:
    """Raises InvalidArgument when no document would test the model; `field` stands before the field's name."""
    tests = sum(one.dataset is Dataset.TEST for one in documents)
    if options.kind is SplitKind.MANUAL:
        if not tests:
            text = "A manual split needs at least 1 labeled document of the Test set (1 missing)."
            raise InvalidArgument(text, target=f"{field}kind")
    elif (trains := len(documents) - tests) < 2:
        text = (
            f"A percentage split needs at least 2 labeled documents of the Train set ({2 - trains} missing)."
        )
        raise InvalidArgument(text, target=f"{field}kind")


def _missing(engine: Engine, kind: ProjectKind, documents: Sequence[SplitDocument]) -> str | None:
    counts = Counter(name for one in documents for name in one.labels.used_categories())
    return engine.missing_for(kind, counts, len(documents))


def _not_counted(tests: int, unusable: int) -> str:
    """Labeled documents that the caller may have counted."""
    told = [f"{tests} of the Test set"] if tests else []
    told += [f"{unusable} that cannot be read"] if unusable else []
    return f" Not counted: {' and '.join(told)}." if told else ""
