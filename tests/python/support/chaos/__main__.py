"""
Kill workers from the command line.

    python -m support.chaos --kills 1000 [--seed 7] [--guarantee at_least_once]

A Kafka is started, and stopped in the end, unless ``--kafka HOST:PORT`` names one. The exit code is
1 if anything is not as it must be.
"""

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from support.brokers import ROOT, Kafka
from support.chaos.nemesis import Nemesis, Plan
from support.chaos.points import TROUBLES, points
from support.chaos.run import Run, Setting, save
from support.chaos.watch import Watch

WIDTH = 30
LINE_EVERY = 25


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="support.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="ends of workers")
    parser.add_argument("--stops", type=int, default=0, help="workers stopped until replaced")
    parser.add_argument("--broker-kills", type=int, default=0, help="ends of the broker")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument(
        "--guarantee", default="exactly_once", choices=["exactly_once", "at_least_once"]
    )
    parser.add_argument("--mode", default="mixed", choices=["random", "failpoints", "mixed"])
    parser.add_argument("--each", action="store_true", help="first end a worker at each failpoint")
    parser.add_argument("--points", default="", help="only failpoints with this in their name")
    parser.add_argument("--stateless", action="store_true", help="an app without state")
    parser.add_argument("--local", action="store_true", help="no state is ever deleted")
    parser.add_argument("--agents", action="store_true", help="an agent with tables")
    parser.add_argument("--repartition", action="store_true", help="read by another column")
    parser.add_argument("--rate", type=int, default=1_000, help="records a second")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between two deeds")
    parser.add_argument("--wipes", type=float, default=0.15, help="chance that state is deleted")
    parser.add_argument("--mutant", default="", help="let the app make this mistake")
    parser.add_argument("--kafka", help="address of a broker; one is started if not given")
    parser.add_argument("--report", type=Path, default=ROOT / "target" / "chaos.json")
    parser.add_argument("--keep", action="store_true", help="keep logs and state of the workers")
    return parser.parse_args()


def main() -> int:
    """Run, print what came of it, and return the exit code."""
    given = arguments()
    print(f"seed {given.seed}; again: make chaos CHAOS='{again(sys.argv[1:], given.seed)}'")
    known = [
        name for name in points(given.guarantee, with_agents=given.agents) if given.points in name
    ]
    shares = {"random": 0.0, "failpoints": 1.0, "mixed": 0.3}
    plan = Plan(
        kills=given.kills,
        stops=given.stops,
        broker_kills=given.broker_kills,
        points=known,
        troubles=TROUBLES if given.guarantee == "exactly_once" else (),
        pause_s=given.pause,
        wipes=0.0 if given.local else given.wipes,
        at_points=shares[given.mode],
    )
    setting = Setting(
        plan=plan,
        guarantee=given.guarantee,
        has_state=not given.stateless,
        with_agents=given.agents,
        repartitions=given.repartition,
        ends_from_nothing=not given.local,
        workers=given.workers,
        rate=given.rate,
        seed=given.seed,
        env={"MUTANT": given.mutant},
        tour=known if given.each else (),
    )
    with ExitStack() as stack:
        broker = None
        if given.kafka is None:
            broker = Kafka()
            broker.start()
            stack.callback(broker.stop)
        address = broker.address if broker is not None else given.kafka
        result = Run(setting, address, broker, teller())()
    save(result, given.report)
    print()
    for name, value in result.report.items():
        print(f"{name:>20}  {value}")
    for fault in result.faults[:10]:
        print(f"\n{fault.kind}: {fault.text}")
    if result.faults:
        print("\n".join(["", "what was done:", *result.events]))
    if result.faults or given.keep:
        print(f"logs and state: {result.directory}; report: {given.report}")
    else:
        shutil.rmtree(result.directory, ignore_errors=True)
    return 1 if result.faults else 0


def again(args: list[str], seed: int) -> str:
    """Arguments that do the same once more."""
    return " ".join(args if "--seed" in " ".join(args) else [*args, f"--seed {seed}"])


def teller() -> Callable[[Nemesis, Watch], None]:
    """Return what shows how far it is: a bar on a terminal, else a line now and then."""
    began = time.monotonic()
    said = 0

    def tell(nemesis: Nemesis, watch: Watch) -> None:
        nonlocal said
        plan, done = nemesis.plan, nemesis.done
        wanted = plan.kills + plan.stops + plan.broker_kills
        number = nemesis.kills + done["stop"] + done["broker kill"]
        chains = watch.chains
        text = (
            f"{number}/{wanted}  {time.monotonic() - began:.0f} s  {chains.outputs} outputs, "
            f"{chains.outstanding()} to come, {chains.repeats} repeated, {len(watch.faults)} faults"
        )
        if sys.stdout.isatty():
            filled = WIDTH * number // max(wanted, 1)
            print(f"\r[{'#' * filled:<{WIDTH}}] {text} ", end="", flush=True)
        elif number >= said + LINE_EVERY:
            said = number
            print(text, flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
