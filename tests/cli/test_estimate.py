"""What `labelbridge autolabel --estimate` says of an engine that is paid by the token."""

import pytest

from labelbridge.cli.jobs import _estimated
from labelbridge.client.models import Estimate

READ = "The job would read 1 document, which are 2 text records"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, f"{READ}."),
        ({"tokens": 1_200}, f"{READ}, about 1,200 tokens for the engine 'azure-openai'."),
        (
            {"tokens": 1_200, "cost": 0.004288},
            f"{READ}, about 1,200 tokens for the engine 'azure-openai', and cost about 0.0043.",
        ),
        ({"unavailable": "Label a document.", "tokens": 1}, "The job would fail now: Label a document."),
    ],
)
def test_the_estimate_names_tokens_and_money_where_they_are_known(more: Estimate, said: str) -> None:
    found: Estimate = {"engine": "azure-openai", "documents": 1, "textRecords": 2}
    assert _estimated({**found, **more}) == said
