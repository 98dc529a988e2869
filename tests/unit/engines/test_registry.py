import pytest

from shared.engines import EngineNotConfigured, Engines, UnknownEngine, local_engines


def test_an_engine_is_made_once_and_only_when_asked_for():
    made = []

    def factory():
        made.append(1)
        return local_engines()["embedded"]()

    engines = Engines({"embedded": factory})
    assert made == []
    assert engines.get("embedded") is engines.get("embedded")
    assert made == [1]


def test_an_unknown_name_is_answered_with_the_known_ones():
    engines = Engines(local_engines() | {"azure-openai": lambda: pytest.fail("not asked for")})
    with pytest.raises(UnknownEngine, match=r"engine 'gpt' does not exist.*azure-openai, embedded"):
        engines.get("gpt")


def test_an_engine_that_is_not_configured_says_so_each_time():
    def factory():
        raise EngineNotConfigured("The setting AZURE_OPENAI_ENDPOINT is missing.")

    engines = Engines({"azure-openai": factory})
    for _ in range(2):
        with pytest.raises(EngineNotConfigured, match="AZURE_OPENAI_ENDPOINT"):
            engines.get("azure-openai")
