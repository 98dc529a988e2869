"""The conditions for connecting a project (rules C2, C13). All of them are checked, not only the first unmet one."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shared.connection.binding import StudioKind
from shared.domain.names import ProjectKind
from shared.domain.project import Project

_PAIRS: Final = (
    "af:afr ar:ara az:aze be:bel bg:bul bn:ben br:bre bs:bos ca:cat cs:ces cy:cym da:dan de:deu"
    " el:ell en:eng en-gb:eng en-us:eng es:spa et:est eu:eus fa:fas fi:fin fr:fra fy:fry ga:gle"
    " gl:glg gu:guj he:heb hi:hin hr:hrv hu:hun hy:hye id:ind it:ita ja:jpn jv:jav ka:kat kk:kaz"
    " kn:kan ko:kor ky:kir la:lat lt:lit lv:lav mg:mlg mk:mkd ml:mal mn:mon mr:mar ms:msa my:mya"
    " ne:nep nl:nld nb:nob pa:pan pl:pol pt-br:por pt-pt:por ro:ron ru:rus sk:slk sl:slv sq:sqi"
    " sr:srp su:sun sv:swe sw:swa ta:tam te:tel th:tha tl:tgl tr:tur uk:ukr ur:urd uz:uzb vi:vie"
    " zh-hans:zho"
)
TEXT_DNN: Final = MappingProxyType(
    {code: aml for code, _, aml in (pair.partition(":") for pair in _PAIRS.split())}
)


def text_dnn_language(code: str) -> str | None:
    """AML's code of a custom text language (any case); None when AML's text labeling does not support it."""
    return TEXT_DNN.get(code.lower())


MIN_CLASSES = 2
MIN_ENTITIES = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: `code` for programs, `message` for people, `target` the field."""

    code: str
    met: bool
    message: str
    target: str | None = None


def project_conditions(project: Project, studio: StudioKind, documents: int) -> list[Condition]:
    """The conditions on the project itself. `documents`: how many are registered."""
    conditions = [_categories(project), _multilingual(project), _language(project)]
    if studio is StudioKind.AZURE_ML:
        conditions.append(_text_uploaded(documents))
    return conditions


def _categories(project: Project) -> Condition:
    entities = project.kind is ProjectKind.ENTITIES
    minimum = MIN_ENTITIES if entities else MIN_CLASSES
    word = "entity" if entities else "classes"
    count = len(project.categories)
    met = count >= minimum
    message = (
        f"The project has {count} {'category' if count == 1 else 'categories'}."
        if met
        else f"Define at least {minimum} {word}; the project has {count}."
    )
    return Condition("EnoughCategories", met, message, "categories")


def _multilingual(project: Project) -> Condition:
    met = not project.multilingual
    message = "The project is not multilingual." if met else "A multilingual project cannot be connected."
    return Condition("NotMultilingual", met, message, "multilingual")


def _language(project: Project) -> Condition:
    code = text_dnn_language(project.language)
    message = f"Azure Machine Learning does not support labeling text in the language '{project.language}'."
    if code:
        message = f"Azure Machine Learning supports the language (as '{code}')."
    return Condition("LanguageSupported", code is not None, message, "language")


def _text_uploaded(documents: int) -> Condition:
    met = documents > 0
    counted = "1 document is" if documents == 1 else f"{documents:,} documents are"
    message = f"{counted} registered." if met else "Upload documents to the project's container."
    return Condition("TextUploaded", met, message, "documents")


def unmet(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    return tuple(condition for condition in conditions if not condition.met)
