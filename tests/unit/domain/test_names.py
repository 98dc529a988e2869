"""Names that people give."""

from collections.abc import Callable

import pytest

from shared.domain.names import deployment_name_error, model_label_error, project_name_error

FAULTS = [project_name_error, model_label_error, deployment_name_error]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [".", ".."])
def test_segments_that_are_taken_out_of_paths_are_no_names(
    fault: Callable[[str], str | None], name: str
) -> None:
    message = fault(name)
    assert message is not None
    assert message.endswith("and not be '.' or '..'.")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["a", "...", ".a", "A-1_b.c", "x" * 50])
def test_other_names_are_names(fault: Callable[[str], str | None], name: str) -> None:
    assert fault(name) is None
