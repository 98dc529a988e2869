"""Builds and lints every file of `infra/` with the Bicep compiler; one warning fails.

    python scripts/lint_infra.py [FOLDER]

The compiler is `../shared/bicep/bicep`, or else `bicep` on the path. Without either, nothing is checked, and a message
says so.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def compiler(root: Path = ROOT) -> str | None:
    """The path of the compiler, None where there is none."""
    near = root.parent / "shared" / "bicep" / "bicep"
    return str(near) if near.exists() else shutil.which("bicep")


def run(program: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One call; `home` is a folder where the compiler may write. It works without a network and without ICU."""
    environment = {**os.environ, "HOME": str(home), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def problems(program: str, folder: Path, home: Path) -> list[str]:
    """Every line that the compiler prints on standard error, because a warning does not change its exit code."""
    if not list(folder.glob("**/*.bicep")):
        return [f"{folder} has no Bicep files"]
    pattern = f"{folder}/**/*.bicep"
    found: list[str] = []
    for arguments in (
        ("build", "--pattern", pattern, "--outdir", str(home / "built")),
        ("lint", "--pattern", pattern),
    ):
        done = run(program, home, *arguments)
        lines = done.stderr.split("\n")
        found += [line for line in lines if line.strip()]
        if done.returncode and not done.stderr.strip():
            found.append(f"bicep {arguments[0]} ended with {done.returncode}: {done.stdout.strip()[-500:]}")
    return list(dict.fromkeys(found))


def main() -> int:
    """The exit status."""
    folder = Path(*sys.argv[1:2] or [ROOT / "infra"]).resolve()
    program = compiler()
    if program is None:
        print("bicep: skipped, there is neither ../shared/bicep nor bicep on the path")
        return 0
    with tempfile.TemporaryDirectory() as home:
        found = problems(program, folder, Path(home))
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"bicep: {len(list(folder.glob('**/*.bicep')))} files, no warnings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
