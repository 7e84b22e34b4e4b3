"""Try many damaged files: no traceback, at most 10 s of computing and 2 GB of memory for each.

    python -m tests.fuzz --rounds 100000 [--first SEED] [--only FORMAT …]

Each format is tried in processes of its own, in turn, one seed after the other. Prints a table of counts, and
the findings, which ``--only FORMAT --first SEED --rounds 1`` repeats. The exit code is 1 if there are any.
"""

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

SECONDS, BYTES = 10, 2 << 30


def child(name: str, first: int, count: int) -> None:
    """Try seeds, and print a line before and after each; a hang ends the process by SIGPROF."""
    from .trying import Trial

    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(name, Path(folder))
        for seed in range(first, first + count):
            print(json.dumps([seed, None, None]), flush=True)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                found = trial.run(seed), ""
            except Exception:  # noqa: BLE001 that is what is looked for
                found = "traceback", traceback.format_exc()
            signal.setitimer(signal.ITIMER_PROF, 0)
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > BYTES:
                found = "memory", "more than 2 GB"
            print(json.dumps([seed, *found]), flush=True)
            if found[0] == "memory":
                return


def parent(names: list[str], first: int, rounds: int) -> int:
    """Print counts and findings; return the exit code."""
    bad = 0
    for k, name in enumerate(names):
        count = rounds // len(names) + (k < rounds % len(names))
        counts: Counter[str] = Counter()
        seed, end, findings = first, first + count, []
        while seed < end:
            command = [sys.executable, "-m", "tests.fuzz", "--child", name, "--first", str(seed)]
            command += ["--rounds", str(min(1000, end - seed))]
            process = subprocess.run(command, capture_output=True, check=False)
            lines = [
                json.loads(line) for line in process.stdout.decode().splitlines() if line.startswith("[")
            ]
            if not lines:
                raise SystemExit(process.stderr.decode())
            outcomes = [(number, outcome, text) for number, outcome, text in lines if outcome]
            number, outcome, _ = lines[-1]
            if outcome is None:  # the process died of this one
                how = "hang" if process.returncode == -signal.SIGPROF else f"ended with {process.returncode}"
                outcomes.append((number, how, process.stderr.decode()[-500:]))
            counts.update(outcome for _, outcome, _ in outcomes)
            findings += [found for found in outcomes if found[1] not in ("read", "refused", "same")]
            seed = number + 1
        print(
            f"{name:20}{count:8,}  " + "  ".join(f"{n:,} {what}" for what, n in counts.most_common()),
            flush=True,
        )
        for number, what, text in findings[:20]:
            print(f"  seed {number}: {what}\n{text}", flush=True)
        bad += len(findings)
    print(f"{bad:,} findings")
    return 1 if bad else 0


def main() -> int:
    """Read the options; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.first, options.rounds)
        return 0
    from .formats import FORMATS

    return parent(options.only or list(FORMATS), options.first, options.rounds)


if __name__ == "__main__":
    sys.exit(main())
