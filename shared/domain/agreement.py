"""How far two people agree who labeled the same documents without seeing each other's labels.

Cohen's kappa for classes (of a multi-label project for each category, and their mean), F1 of exact spans for entities.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.labels import EntityLabel, Labels
from shared.domain.names import ProjectKind

#: Documents of a second review.
MAX_SAMPLE: Final = 500


type Pair = tuple[Labels, Labels]
"""The labels of the first and of the second person."""


@dataclass(frozen=True, slots=True)
class CategoryAgreement:
    """`first`, `second`: how often each person gave the category; `both`: together. `kappa` for classes, `f1` for
    entities; None where it is not defined: nobody, or everybody, gave the category each time.
    """

    category: str
    first: int
    second: int
    both: int
    kappa: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """`agreed`: documents with the same labels. `kappa` for classes, `f1` for entities; None: not defined."""

    documents: int
    agreed: int
    kappa: float | None
    f1: float | None
    categories: tuple[CategoryAgreement, ...]


def same(kind: ProjectKind, first: Labels, second: Labels) -> bool:
    """Whether both say the same: the order, and regions of entities, do not count."""
    if kind is ProjectKind.ENTITIES:
        return Counter(first.entities()) == Counter(second.entities())
    return set(first.categories) == set(second.categories)


def agreement(kind: ProjectKind, pairs: Sequence[Pair]) -> Agreement:
    agreed = sum(same(kind, first, second) for first, second in pairs)
    if kind is ProjectKind.ENTITIES:
        categories, f1 = _spans(pairs)
        return Agreement(len(pairs), agreed, None, f1, categories)
    names = sorted({name for pair in pairs for labels in pair for name in labels.categories})
    counted = tuple(_category(name, pairs) for name in names)
    if kind is ProjectKind.SINGLE_LABEL:
        kappa = cohens_kappa([(_only(first), _only(second)) for first, second in pairs])
    else:
        defined = [one.kappa for one in counted if one.kappa is not None]
        kappa = sum(defined) / len(defined) if defined else None
    return Agreement(len(pairs), agreed, kappa, None, counted)


def _only(labels: Labels) -> str:
    """The class of a document; "" for none."""
    return labels.categories[0] if labels.categories else ""


def _category(name: str, pairs: Sequence[Pair]) -> CategoryAgreement:
    given = [(name in first.categories, name in second.categories) for first, second in pairs]
    return CategoryAgreement(
        name,
        sum(first for first, _ in given),
        sum(second for _, second in given),
        sum(first and second for first, second in given),
        kappa=cohens_kappa(given),
    )


def cohens_kappa(pairs: Iterable[tuple[object, object]]) -> float | None:
    """Agreement beyond what chance alone would give: 1 is perfect, 0 chance.

    None without pairs, and where both always said the same one thing: chance alone explains that.
    """
    given = list(pairs)
    if not given:
        return None
    total = len(given)
    observed = sum(first == second for first, second in given) / total
    firsts, seconds = Counter(first for first, _ in given), Counter(second for _, second in given)
    by_chance = sum(count * seconds[value] for value, count in firsts.items()) / total**2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _spans(pairs: Sequence[Pair]) -> tuple[tuple[CategoryAgreement, ...], float | None]:
    firsts, seconds, both = Counter[str](), Counter[str](), Counter[str]()
    for first, second in pairs:
        one, other = Counter[EntityLabel](first.entities()), Counter[EntityLabel](second.entities())
        firsts.update(entity.category for entity in one.elements())
        seconds.update(entity.category for entity in other.elements())
        both.update(entity.category for entity in (one & other).elements())
    categories = tuple(
        CategoryAgreement(
            name, firsts[name], seconds[name], both[name], f1=_f1(firsts[name], seconds[name], both[name])
        )
        for name in sorted({*firsts, *seconds})
    )
    return categories, _f1(firsts.total(), seconds.total(), both.total())


def _f1(first: int, second: int, both: int) -> float | None:
    return 2 * both / (first + second) if first + second else None
