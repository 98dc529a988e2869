"""Names that people give."""

from collections.abc import Callable

import pytest

from shared.domain.names import deployment_name_error, model_label_error, project_name_error

ERRORS = [project_name_error, model_label_error, deployment_name_error]


@pytest.mark.parametrize("error_of", ERRORS)
@pytest.mark.parametrize("name", [".", ".."])
def test_segments_that_are_taken_out_of_paths_are_no_names(
    error_of: Callable[[str], str | None], name: str
) -> None:
    message = error_of(name)
    assert message is not None
    assert message.endswith("and not be '.' or '..'.")


@pytest.mark.parametrize("error_of", ERRORS)
@pytest.mark.parametrize("name", ["a", "...", ".a", "A-1_b.c", "x" * 50])
def test_other_names_are_names(error_of: Callable[[str], str | None], name: str) -> None:
    assert error_of(name) is None
