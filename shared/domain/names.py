"""Kinds and states with fixed names, ids, and the rules for names that people choose.

A function `..._error` returns what is wrong in words, or None.
"""

import hashlib
import re
import secrets
import unicodedata
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Characters of the name of a blob, which is the location of a document.
MAX_LOCATION: Final = 1_024


class ProjectKind(StrEnum):
    """What a project labels. Azure writes the names in two cases, so `parse` ignores case."""

    SINGLE_LABEL = "CustomSingleLabelClassification"
    MULTI_LABEL = "CustomMultiLabelClassification"
    ENTITIES = "CustomEntityRecognition"

    @classmethod
    def parse(cls, text: str) -> "ProjectKind | None":
        return next((kind for kind in cls if kind.lower() == text.lower()), None)

    @property
    def label_field(self) -> str:
        """Name of the label field of a document, on the wire and in the Azure project file."""
        return _LABEL_FIELDS[self]

    @property
    def category_list(self) -> str:
        """Name of the list of categories in the assets of the Azure project file."""
        return "entities" if self is ProjectKind.ENTITIES else "classes"


_LABEL_FIELDS = {
    ProjectKind.SINGLE_LABEL: "class",
    ProjectKind.MULTI_LABEL: "classes",
    ProjectKind.ENTITIES: "entities",
}


class Dataset(StrEnum):
    TRAIN = "Train"
    TEST = "Test"


class DocumentStatus(StrEnum):
    UNLABELED = "unlabeled"
    AUTO_LABELED = "autoLabeled"
    LABELED = "labeled"
    REJECTED = "rejected"


class Studio(StrEnum):
    """Where people label: here, or in the connected Azure Machine Learning labeling project."""

    LANGUAGE_STUDIO = "languageStudio"
    AZURE_ML = "azureMachineLearning"


class EventType(StrEnum):
    """The types of outgoing events."""

    JOB_FINISHED = "Labelbridge.JobFinished"
    SUGGESTIONS_READY = "Labelbridge.SuggestionsReady"
    LABELS_SAVED = "Labelbridge.LabelsSaved"
    MODEL_TRAINED = "Labelbridge.ModelTrained"
    CONNECTION_CHANGED = "Labelbridge.ConnectionChanged"


#: The receiver that is an Event Grid topic; no webhook may have its name.
TOPIC: Final = "topic"
#: Hosts that are this machine.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def host_allowed(host: str, allowed: Iterable[str]) -> bool:
    """Whether an allow list has the host: its name, or `*.example.com` for every name below example.com."""
    host = host.lower().rstrip(".")
    return any(
        host.endswith(entry[1:].lower()) if entry.startswith("*.") else host == entry.lower()
        for entry in allowed
    )


_NAMESPACE = uuid.UUID("6d9ce3c2-6a5b-4f0e-9d43-0d5a4f0f7b11")


def random_id() -> str:
    """12 characters: incarnations, editions, revisions, tokens."""
    return secrets.token_urlsafe(9)


def derived_id(*parts: str) -> str:
    """12 characters that are the same for the same parts."""
    return urlsafe_b64encode(hashlib.sha256("\x1f".join(parts).encode()).digest()[:9]).decode()


def incarnation_of_import(job_id: str) -> str:
    """The incarnation of the project that an import makes, where there was none."""
    return derived_id(job_id, "incarnation")


def random_job_id() -> str:
    return str(uuid.uuid4())


def derived_job_id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


_PROJECT: Final = re.compile(r"[A-Za-z0-9_.-]{1,50}")
_CONTAINER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")
#: What Azure's Studio refuses in a category name; import and export warn of them.
AZURE_REFUSES: Final = frozenset(":$&%*()+~#/?")

#: The languages of custom text by code: those of Azure AI Language, and two spellings that its API's texts use.
LANGUAGES: Final = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "as": "Assamese",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "br": "Breton",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "en-gb": "English (UK)",
    "en-us": "English (US)",
    "eo": "Esperanto",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "fy": "Western Frisian",
    "ga": "Irish",
    "gd": "Scottish Gaelic",
    "gl": "Galician",
    "gu": "Gujarati",
    "ha": "Hausa",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "jv": "Javanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "ku": "Kurdish (Kurmanji)",
    "ky": "Kyrgyz",
    "la": "Latin",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mg": "Malagasy",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "my": "Burmese",
    "nb": "Norwegian (Bokmål)",
    "ne": "Nepali",
    "nl": "Dutch",
    "or": "Odia",
    "pa": "Punjabi",
    "pl": "Polish",
    "ps": "Pashto",
    "pt-br": "Portuguese (Brazil)",
    "pt-pt": "Portuguese (Portugal)",
    "ro": "Romanian",
    "ru": "Russian",
    "sa": "Sanskrit",
    "sd": "Sindhi",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "so": "Somali",
    "sq": "Albanian",
    "sr": "Serbian",
    "su": "Sundanese",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Filipino",
    "tr": "Turkish",
    "ug": "Uyghur",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "xh": "Xhosa",
    "yi": "Yiddish",
    "zh-hans": "Chinese (Simplified)",
    "zh-hant": "Chinese (Traditional)",
    "zu": "Zulu",
}


#: Clients and servers remove `.` and `..` from a path, and the result may be the path of something else.
_NAME_RULE: Final = "have 1 to 50 characters of A-Z, a-z, 0-9, '_', '.' and '-', and not be '.' or '..'."


def project_name_error(name: str) -> str | None:
    if not _PROJECT.fullmatch(name) or name in {".", ".."}:
        return f"A project name must {_NAME_RULE}"
    return "The project name 'global' is reserved." if name.lower() == "global" else None


def model_label_error(label: str, what: str = "model label") -> str | None:
    if _PROJECT.fullmatch(label) and label not in {".", ".."}:
        return None
    return f"A {what} must {_NAME_RULE}"


def deployment_name_error(name: str) -> str | None:
    return model_label_error(name, "deployment name")


def category_error(name: str) -> str | None:
    if not 1 <= len(name) <= 50:
        return "A category name must have 1 to 50 characters."
    if not name.strip():
        return "A category name must not be blank."
    if not name.isprintable() and any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name):
        return "A category name must not contain control characters."
    if any(0xD800 <= ord(c) < 0xE000 for c in name):
        return "A category name must be valid Unicode; it contains an unpaired surrogate."
    return None


def similar_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of different names, the earlier first, that differ only in spaces, case or Unicode normalization."""
    first: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for name in names:
        plain = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        earlier = first.setdefault(plain, name)
        if earlier != name:
            pairs.append((earlier, name))
    return pairs


def azure_name_warning(name: str) -> str | None:
    """The warning about a category name that is valid here but that Azure's Studio refuses."""
    refused = "".join(sorted(AZURE_REFUSES.intersection(name)))
    if refused:
        return f"Azure AI Language refuses the category name '{name}' because of {refused}"
    if name != name.strip():
        return f"The category name '{name}' begins or ends with a space; Azure AI Language may refuse it"
    return None


def language_error(code: str) -> str | None:
    if code.lower() in LANGUAGES:
        return None
    return f"The language '{code[:40]}' is not supported; examples: 'en-us', 'de', 'pt-br', 'zh-hans'."


def container_error(name: str) -> str | None:
    if 3 <= len(name) <= 63 and _CONTAINER.fullmatch(name):
        return None
    return (
        "A container name must have 3 to 63 lowercase letters, digits, and single hyphens; it starts and ends "
        "with a letter or digit."
    )


#: Queues by kind of work, for a plan that scales each function alone: short steps, engines, and CPU work.
WORK_QUEUE: Final = "work"
BATCH_QUEUE: Final = "batches"
FIT_QUEUE: Final = "fit"
QUEUES: Final = (WORK_QUEUE, BATCH_QUEUE, FIT_QUEUE)
#: The queue of events that wait to be sent to receivers.
EVENT_QUEUE: Final = "events"


@dataclass(frozen=True, slots=True)
class Names:
    """All our names in the user's storage account begin with the prefix (setting TABLE_PREFIX)."""

    prefix: str = "labelbridge"

    @property
    def container(self) -> str:
        return self.prefix

    def is_ours(self, container: str) -> bool:
        ours = container == self.prefix or container.startswith(f"{self.prefix}-")
        return ours or container.startswith(("azure-webjobs-", "$"))
