"""Rules for names and languages. Each function returns the fault in words, or None."""

import re
from typing import Final

_PROJECT: Final = re.compile(r"[A-Za-z0-9_.-]{1,50}")
_CONTAINER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
#: What Azure's Studio refuses in a category name; import and export warn of them.
AZURE_REFUSES: Final = frozenset(":$&%*()+~#/?")

#: The languages of custom text (FACTS E): 93 codes of Azure AI Language, and two spellings its API texts use.
LANGUAGES: Final = frozenset(
    [
        *(
            "af am ar as az be bg bn br bs ca cs cy da de el en en-gb en-us eo es et eu fa fi fr fy ga gd gl gu".split()
        ),
        *(
            "ha he hi hr hu hy id it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my nb ne nl or pa".split()
        ),
        *(
            "pl ps pt-br pt-pt ro ru sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi".split()
        ),
        *("zh-hans zu".split()),
    ]
)


def project_name_fault(name: str) -> str | None:
    if not _PROJECT.fullmatch(name) or name in {".", ".."}:
        return "A project name has 1 to 50 characters of A-Z, a-z, 0-9, '_', '.' and '-'."
    return "The project name 'global' is reserved." if name.lower() == "global" else None


def model_label_fault(label: str) -> str | None:
    if _PROJECT.fullmatch(label) and label not in {".", ".."}:
        return None
    return "A model label has 1 to 50 characters of A-Z, a-z, 0-9, '_', '.' and '-'."


def category_fault(name: str) -> str | None:
    if not 1 <= len(name) <= 50:
        return "A category name has 1 to 50 characters."
    if not name.strip():
        return "A category name is not blank."
    if not name.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name):
        return "A category name holds no control characters."
    if any(0xD800 <= ord(c) < 0xE000 for c in name):
        return "A category name is valid Unicode (it holds half of a surrogate pair)."
    return None


def azure_name_warning(name: str) -> str | None:
    """What to tell about a category name that is valid here and that Azure's Studio refuses."""
    refused = "".join(sorted(AZURE_REFUSES.intersection(name)))
    if refused:
        return f"Azure AI Language refuses the category name '{name}' for its {refused}"
    if name != name.strip():
        return f"The category name '{name}' begins or ends with a space; Azure AI Language may refuse it"
    return None


def language_fault(code: str) -> str | None:
    if code.lower() in LANGUAGES:
        return None
    return f"The language '{code[:40]}' is not a language of custom text; examples: 'en-us', 'de', 'pt-br', 'zh-hans'."


def container_fault(name: str) -> str | None:
    if 3 <= len(name) <= 63 and _CONTAINER.fullmatch(name):
        return None
    return "A container name has 3 to 63 characters of a-z, 0-9 and single '-' between them."
