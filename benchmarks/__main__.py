"""``make bench``: the benchmarks that need no photos, at a reduced size, into outputs/.

The recorded tables come from the full-size commands in each benchmark's first lines.
"""

import argparse
import subprocess
import sys
from pathlib import Path

REDUCED = {
    "live_speed": "--seconds 2 --memory-frames 0",
    "runtimes": "--repeats 20",
    "live_quality": "--actors 1 --seconds 2",
    "training": "--models baseline emotion_net --precisions no --faces 256 --seconds 2",
    "scaling": "--faces 256 --photos 40",
    "index": "--images 5000",
    "loading": "--images 1500 --seconds 0.5",
    "notebooks": "--images 400 --only 01 02 03 06",
}

if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    Path("outputs").mkdir(exist_ok=True)
    for name, options in REDUCED.items():
        print(f"\n{name} {options}\n", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *options.split()]
        if code := subprocess.run([*command, "--out", f"outputs/{name}.json"], check=False).returncode:
            sys.exit(code)
