"""Label files of other tools: CSV, JSON Lines, spaCy, CoNLL and Label Studio, read and written without any of them.

Every format holds `Record`s, whose offsets count Unicode characters, as these tools and Python do; the API counts
UTF-16 code units. `FORMATS` has a reader and a writer by name.
"""

from labelbridge.formats import conll, label_studio, spacy, tables
from labelbridge.formats.records import BadFile, Format, Record, Span, from_document, to_labels

FORMATS: dict[str, Format] = {
    "csv": Format(tables.read_csv, tables.write_csv, needs_text=False, suffix=".csv"),
    "jsonl": Format(tables.read_jsonl, tables.write_jsonl, needs_text=True, suffix=".jsonl"),
    "spacy": Format(spacy.read, spacy.write, needs_text=True, suffix=".json"),
    "conll": Format(conll.read, conll.write, needs_text=True, suffix=".conll", entities_only=True),
    "label-studio": Format(label_studio.read, label_studio.write, needs_text=True, suffix=".json"),
}

__all__ = ["FORMATS", "BadFile", "Format", "Record", "Span", "from_document", "to_labels"]
