"""The languages of custom text that AML's text labeling knows (`TextDNNLanguages` of azureml-automl-core).

AML uses three-letter codes of ISO 639. Microsoft publishes no mapping, so this one follows ISO 639; it has
the 75 codes that map, and the two spellings `en` and `en-gb`. AML's pseudo language `mul` is left out on
purpose: it must not become a way round the rule that a multilingual project cannot be connected (rule C2).
"""

from types import MappingProxyType
from typing import Final

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
    """AML's code for a language of custom text (any case); None when AML's text labeling does not know it."""
    return TEXT_DNN.get(code.lower())
