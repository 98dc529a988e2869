"""The command `labelbridge`: signs in, uploads, reviews, trains and exports from a terminal or a script.

Results go to stdout, as tables or with `--json` as one JSON document; messages and progress go to stderr.
"""
