"""What became of the suggestions of an engine is counted by its models; rows of earlier versions name none."""

from shared.domain.page import MAX_MODELS, EngineTally, add_engine_tallies
from shared.storage.page_codec import decode_engine_tallies, encode_engine_tallies


def test_models_are_counted_apart() -> None:
    first = EngineTally("azure-openai", 18, suggested=2, model="small")
    second = EngineTally("azure-openai", 18, suggested=1, accepted=1, model="large")
    counted = add_engine_tallies({}, [first, second, first])
    assert counted == {
        ("azure-openai", "small", 18): first._replace(suggested=4),
        ("azure-openai", "large", 18): second,
    }
    assert decode_engine_tallies(encode_engine_tallies(counted)) == counted


def test_rows_of_earlier_versions_are_read_and_go_on() -> None:
    before = decode_engine_tallies([["azure-openai", 18, 5, 2, 1], ["embedded", 3, 1, 0, 0]])
    assert before["azure-openai", "", 18] == EngineTally("azure-openai", 18, 5, 2, 1)
    counted = add_engine_tallies(before, [EngineTally("azure-openai", 18, accepted=1, model="large")])
    assert counted["azure-openai", "", 18] == before["azure-openai", "", 18]
    assert encode_engine_tallies(counted) == [
        ["azure-openai", 18, 5, 2, 1],
        ["azure-openai", 18, 0, 1, 0, "large"],
        ["embedded", 3, 1, 0, 0],
    ]


def test_a_page_counts_so_many_models_apart_and_no_more() -> None:
    names = [f"model-{number}" for number in range(MAX_MODELS + 2)]
    counted = add_engine_tallies({}, [EngineTally("embedded", 0, suggested=1, model=name) for name in names])
    assert {model for _, model, _ in counted} == {"", *names[:MAX_MODELS]}
    assert counted["embedded", "", 0].suggested == 2
    again = add_engine_tallies(counted, [EngineTally("embedded", 0, accepted=1, model=names[-1])])
    assert again["embedded", "", 0] == EngineTally("embedded", 0, suggested=2, accepted=1)
