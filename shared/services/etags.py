"""The version of a document on the wire: opaque to clients, two parts inside."""

import re
from dataclasses import dataclass

from shared.domain.document import Document
from shared.domain.errors import InvalidArgument, PreconditionRequired

#: One strong entity tag in its quotes, as RFC 9110 writes it.
_ETAG = re.compile(r'"([!#-~\x80-\xff]*)"')
_OURS = re.compile(r"([A-Za-z0-9_-]{1,40})\.([A-Za-z0-9_-]{1,40})")


@dataclass(frozen=True, slots=True)
class Version:
    """What a client says it saw. None for a part: any."""

    labels: str | None
    suggestions: str | None

    def matches_labels(self, document: Document) -> bool:
        return self.labels is None or self.labels == document.revision

    def matches(self, document: Document, generation: int) -> bool:
        """Labels and suggestions, as `:review` compares them."""
        _, suggestions = document.etag(generation)
        return self.matches_labels(document) and self.suggestions in {None, suggestions}


ANY = Version(None, None)
#: What no document ever had: revisions hold no blanks.
STALE = Version(" ", " ")


def of_header(text: str | None) -> Version:
    """The version in an If-Match header. Raises PreconditionRequired when it is missing, else as `parse`."""
    if text is None or not text.strip():
        raise PreconditionRequired(
            "The header If-Match is required: the eTag of the document as it was read, or * for any.",
            target="If-Match",
        )
    return parse(text, "If-Match")


def parse(text: str, target: str = "eTag") -> Version:
    """Raises InvalidArgument when it is malformed or weak.

    A well-formed tag that this app did not make is the version of no document: it is stale.
    """
    if text.strip() == "*":
        return ANY
    match = _ETAG.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(
            "An eTag is given as it was answered, with its quotes; weak ones do not apply.", target=target
        )
    ours = _OURS.fullmatch(match[1])
    return Version(*ours.groups()) if ours else STALE
