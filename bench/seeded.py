"""Documents with suggestions, written by the app's own page store: for sizes whose blobs would take Azurite hours."""

from bench.texts import CLASSES, name_of
from shared.domain.document import Document, document_id
from shared.domain.labels import Hundredths, Suggestion, SuggestionSet, suggestion_id
from shared.domain.page import Page, page_of
from shared.domain.text import content_hash, first_words
from shared.storage.gateways.clients import Account, StorageClients, StorageNames
from shared.storage.pages import Author
from tests.support.services import in_process

PREFIX = "labelbridge"
JOB, REVISION = "bench-seeded-job", "bench-seeded"


async def seed(connection_string: str, name: str, texts: list[str]) -> None:
    """The documents of a project that has none: as a job of the instant engine leaves them, but for their blobs."""
    storage = StorageClients(Account.from_connection_string(connection_string), names=StorageNames(PREFIX))
    try:
        stores = in_process(storage, prefix=PREFIX).container.stores
        project = await stores.projects.get(name)
        buckets: dict[int, dict[str, Document]] = {}
        for number, text in enumerate(texts):
            document = _document(number, text, project.generation)
            buckets.setdefault(page_of(document.id, project.pages), {})[document.id] = document
        pages = [Page(number, dict(sorted(bucket.items()))) for number, bucket in sorted(buckets.items())]
        author = Author("bench", stores.clock(), REVISION)
        await stores.pages.write_edition(project, pages, author, lambda page: ())
    finally:
        await storage.close()


def _document(number: int, text: str, generation: int) -> Document:
    content, category = content_hash(text), CLASSES[0]
    suggestion = Suggestion(suggestion_id(content, category, 0, 0), category, Hundredths(50), 0, 0)
    return Document(
        document_id(name_of(number)),
        name_of(number),
        "en-us",
        revision=REVISION,
        blob_etag=f"0x{number:015X}",
        content=content,
        planned=content,
        length=len(text),
        characters=len(text),
        excerpt=first_words(text),
        suggestions=SuggestionSet(JOB, "instant", None, generation, REVISION, (suggestion,)),
    )
