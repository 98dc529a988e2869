from shared.engines.embedded.attributes import EDGES, POSITIONS, Gazetteer, seen_at

ANNA = (("anna",), 0)
NEW_YORK = (("new", "york"), 1)


def test_the_longest_known_mention_marks_its_tokens():
    gazetteer = Gazetteer.of([{ANNA, NEW_YORK}, {(("new",), 0)}])
    assert gazetteer.marks(["in", "new", "york", "new"], set()) == ["", "known=1B", "known=1IE", "known=0BE"]


def test_a_document_does_not_count_as_its_own_witness():
    once, twice = Gazetteer.of([{ANNA}]), Gazetteer.of([{ANNA}, {ANNA}])
    assert once.marks(["anna"], {ANNA}) == [""]
    assert twice.marks(["anna"], {ANNA}) == ["known=0BE"]


def test_a_token_sees_the_form_and_the_clusters_of_its_neighbors():
    words, clusters = [*EDGES, "Miss", "Anna", "7", *EDGES], {"Anna": ("k0=4",)}
    before, word, after = (
        [a for p in POSITIONS for a in seen_at(words[i + p], p, clusters)] for i in range(2, len(words) - 2)
    )
    assert {"w=anna", "shape=Xxxx", "form=title", "k0=4", "-1w=miss", "+1edge"} & set(word) == {
        "w=anna", "shape=Xxxx", "form=title", "k0=4", "-1w=miss",
    }  # fmt: skip
    assert "+1k0=4" in before
    assert {"-1k0=4", "form=digits1", "1edge"} <= set(after)
