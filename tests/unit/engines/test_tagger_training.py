"""What a fit sees of tokens, against what a prediction sees of them."""

from collections.abc import Iterable, Mapping

from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.labels import Span
from shared.engines.embedded.attributes import EDGES, POSITIONS, Gazetteer, in_context, seen_at
from shared.engines.embedded.tagger_training import Document, _document, _Words
from shared.engines.embedded.tokens import align, cut
from shared.engines.embedded.word_clusters import WordClusters, cluster_names

TEXTS = st.lists(
    st.lists(
        st.sampled_from(["Anna", "anna", "EU", "2", "2022", "-1", "|", "İx", "w" * 45, "."]), max_size=6
    ),
    min_size=1,
    max_size=4,
)


class _Named(WordClusters):
    """Clusters by the length of a word, without an encoder."""

    def names(self, words: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        names = cluster_names()
        return {word: (names[len(word)], names[30 + len(word)]) for word in words if word[:1].isalpha()}


@given(texts=TEXTS)
@example(texts=[["|", "\u0301", "EU"], ["|\u0301", "EU"], ["EU", "|", "\u0301"]])
def test_a_fit_sees_the_attributes_of_a_prediction(texts: list[list[str]]):
    documents: list[Document] = []
    for text in (" ".join(words) for words in texts):
        tokens = cut(text)
        spans, _ = align(tokens, len(text), [Span("a", 0, len(tokens.words[0]))] if tokens.words else [])
        documents.append(_document(tokens, spans, ["a"]))
    clusters = _Named(())
    gazetteer = Gazetteer.of(document.mentions for document in documents)
    words = _Words(documents)
    for read, own in ((documents, True), (documents[1:], False)):
        if not any(document.tokens.words for document in read):
            continue
        seen = words.seen(read, clusters, gazetteer, own=own)
        found = (seen.tokens @ seen.words + seen.context).toarray()
        names = [[words.names.of(n) for n in row.nonzero()[0].tolist()] for row in found]
        expected: list[list[str]] = []
        for document in read:
            own_mentions = document.mentions if own else set()
            padded = [*EDGES, *document.tokens.words, *EDGES]
            context = in_context(document.tokens.words, gazetteer, own_mentions)
            for place, attributes in enumerate(context):
                for position in POSITIONS:
                    word = padded[place + len(EDGES) + position]
                    attributes.extend(seen_at(word, position, clusters.names([word])))
                expected.append(sorted(attributes))
        assert [sorted(row) for row in names] == expected
        assert found.max() == 1
        used = [words.names.of(n) for n in found.any(axis=0).nonzero()[0].tolist()]
        assert len(set(used)) == len(used)
