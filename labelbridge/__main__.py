"""`labelbridge` and `python -m labelbridge`: the command line, or how to install it where its packages are missing."""

import sys


def main() -> None:
    """Run the command line. Without the extra `cli`, only print how to install it."""
    try:
        from labelbridge.cli.main import main as command_line
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "labelbridge":
            raise
        sys.stderr.write(
            f"The command needs the package {error.name}: install it with the extra 'cli', as in "
            "pipx install --force '.[cli]' or uvx --from '.[cli]' labelbridge.\n"
        )
        raise SystemExit(1) from None
    command_line()


if __name__ == "__main__":
    main()
