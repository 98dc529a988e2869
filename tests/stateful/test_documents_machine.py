"""Random lives of a project's documents, in the three kinds, in memory and on Azurite."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.domain.names import ProjectKind
from tests.stateful.documents_machine import Documents
from tests.support.azurite import Azurite

pytestmark = pytest.mark.timeout(600)  # many short lives; how long they take depends on the machine


@pytest.mark.parametrize("kind", list(ProjectKind))
def test_lives_in_memory(kind: ProjectKind):
    machine = type("OnTheTwin", (Documents,), {"kind": kind})
    run_state_machine_as_test(machine, settings=_settings(60, 40))


def test_lives_on_azurite(azurite: Azurite):
    machine = type("OnAzurite", (Documents,), {"kind": ProjectKind.MULTI_LABEL, "azurite": azurite})
    run_state_machine_as_test(machine, settings=_settings(8, 20))


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        print_blob=True,
    )
