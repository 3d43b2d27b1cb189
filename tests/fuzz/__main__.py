"""``python -m tests.fuzz --seed N``: draws and runs cases; exit code 1 if one is not clean."""

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="Any whole number; each draws other cases.")
    parser.add_argument("--cases", type=int, default=2000, help="Number of cases.")
    parser.add_argument(
        "--processes", type=int, default=10, help="Of these, cases in a process of their own."
    )
    parser.add_argument("--only", type=int, help="Run this case alone, and show its traceback.")
    options = parser.parse_args()
    from tests.fuzz.suite import Outcome, run_case, timed
    from tests.fuzz.world import write_world

    with tempfile.TemporaryDirectory() as folder:
        if options.only is not None:
            outcome, text = Outcome(), "one case"
            run_case(options.seed, options.only, write_world(Path(folder)), outcome)
        else:
            report = Path(tempfile.gettempdir()) / "anifacegan-fuzz-case"
            outcome, text = timed(options.seed, options.cases, options.processes, Path(folder), report)
    print("\n".join([*outcome.failures, text]))
    sys.exit(bool(outcome.failures))


if __name__ == "__main__":
    main()
