"""`make bench`: the product against raw storage in the same run. Absolute rates swing with the machine; ratios tell."""

import argparse
import asyncio
import random
import statistics

from bench.autolabel import Api, Figure, by_events, over_http
from bench.server import serve

WORDS = "please order refund bicycle invoice login password account delivery late broken wheel chain".split()


def texts(count: int) -> list[str]:
    """Documents of 60 to 120 words, the same in every run."""
    source = random.Random(0)
    return [" ".join(source.choices(WORDS, k=source.randint(60, 120))) + f" {i}" for i in range(count)]


async def measure(documents: list[str]) -> list[Figure]:
    with serve() as server:
        api = Api(server)
        try:
            return [await over_http(server, api, documents), await by_events(server, api, documents)]
        finally:
            await api.client.aclose()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    documents = texts(arguments.documents)
    runs = [asyncio.run(measure(documents)) for _ in range(arguments.repeat)]
    print(f"{arguments.documents:,} documents, median of {arguments.repeat} runs on Azurite")
    print(f"{'figure':<48}{'ours/s':>9}{'raw/s':>9}{'ratio':>8}{'least':>8}")
    good = True
    for figures in zip(*runs, strict=True):
        ratio = statistics.median(one.ratio for one in figures)
        ours = statistics.median(one.ours for one in figures)
        baseline = statistics.median(one.baseline for one in figures)
        good &= ratio >= figures[0].floor
        print(f"{figures[0].name:<48}{ours:>9,.0f}{baseline:>9,.0f}{ratio:>8.2f}{figures[0].floor:>8.2f}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
