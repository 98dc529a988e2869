"""`python -m labelbridge` is the command `labelbridge`."""

from labelbridge.cli.main import main

if __name__ == "__main__":
    main()
