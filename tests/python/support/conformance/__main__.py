"""
Run sequences from the command line.

    python -m support.conformance --kafka HOST:PORT [--sequences 1000] [--seed 0]

Without ``--kafka`` one is started, and stopped in the end.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack

from support.brokers import Embedded, Kafka
from support.conformance.compare import Result, compare
from support.conformance.plan import Plan


def main() -> int:
    """Compare, print what differs, and return the exit code."""
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument("--kafka", help="address of an Apache Kafka; one is started if not given")
    parser.add_argument("--embedded", help="address of the embedded broker; started if not given")
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--most", type=int, default=10, help="stop after so many differences")
    parser.add_argument("--show", action="store_true", help="print the sequence of the seed")
    given = parser.parse_args()
    if given.show:
        for operation in Plan(given.seed).operations():
            print(json.dumps(operation))
        return 0
    start = time.monotonic()
    result = Result()
    with ExitStack() as stack:
        if given.embedded is None:
            broker = Embedded()
            broker.start()
            stack.callback(broker.stop)
            given.embedded = broker.address
        if given.kafka is None:
            kafka = Kafka()
            kafka.start()
            stack.callback(kafka.stop)
            given.kafka = kafka.address
        seeds = range(given.seed, given.seed + given.sequences)
        told = 0
        for result in compare(given.embedded, given.kafka, seeds, jobs=given.jobs, most=given.most):
            for difference in result.differences[told:]:
                print(difference.text(), flush=True)
            told = len(result.differences)
    operations = result.operations.total()
    print(
        f"{result.sequences} sequences, {operations} operations on each broker, "
        f"{len(result.differences)} differences, {time.monotonic() - start:.0f} s"
    )
    # On a busy machine Kafka is late, now and then, with what it does behind its answers.
    chance = len(result.differences) - len(result.steady)
    return 1 if result.steady or chance > max(1, result.sequences // 200) else 0


if __name__ == "__main__":
    sys.exit(main())
