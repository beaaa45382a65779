"""Peak memory of a whole correction against the length of the recording, and how fast the command line answers.

python tests/bench/bench_memory.py [--seconds 150 300 600]

Each length runs `compute_motion` (preset nonrigid_accurate, band-pass and reference before it) on a lazily simulated
128-channel recording in a process of its own; the peak resident set is what the kernel counted for that process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

CHILD = """
import json, resource, sys
import driftviewer as dv
from driftviewer.preprocess.chain import default_chain, preprocess
recording, _ = dv.simulate_drifting_recording(duration_s=float(sys.argv[1]), num_channels=128, num_units=100)
info = dv.compute_motion(preprocess(recording, default_chain(recording.info)), progress_bar=False)
print(json.dumps({"peaks": len(info.peaks), "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="*", default=[150.0, 300.0, 600.0])
    print("| recording s | peaks | peak memory MB | CPU s |\n|---|---|---|---|")
    for seconds in parser.parse_args().seconds:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([sys.executable, "-c", CHILD, str(seconds)], capture_output=True, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found, cpu = json.loads(out), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"| {seconds:g} | {found['peaks']:,} | {found['mb']:.0f} | {cpu:.1f} |", flush=True)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "driftviewer.cli", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    print(f"\n`driftviewer --help`: {min(times):.2f} s (best of five)")


if __name__ == "__main__":
    main()
