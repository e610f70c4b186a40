"""One chip in a million: how precise, how cheap and how honest the estimate of a rare failure is.

    python benchmarks/rare_failures.py [--repeats 10] [--plain 200000]

prints two markdown tables. First a failure near 1e-6, estimated again and again: each interval, how far its
upper end is from the estimate, how many chips it took, how many plain Monte Carlo would have needed for an
interval as narrow, and whether it covers the mean of all the other repeats, which it had no part in. Then the
mean of the repeats beside plain Monte Carlo, for every rare failure that it reaches. A repeat takes about 20
seconds on two cores, and so do 500,000 plain chips.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import reliability as rl
from reliability.rare import find_rare_failures
from reliability.simulation import Simulation
from reliability.statistics import clopper_pearson
from reliability.statistics.subset import RareEvent

Z = 1.959964
TARGET, CHIPS = 0.91, 28_000
BATCH = 100_000
# Failures that plain Monte Carlo is asked for: the most common, and how many chips of the rarest.
COMMON, FEWEST = 0.01, 10

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--repeats", type=int, default=10)
parser.add_argument("--sigma", type=float, default=0.06, help="programming error, of the largest conductance")
parser.add_argument("--plain", type=int, default=200_000, help="chips of plain Monte Carlo")
arguments = parser.parse_args()

network, inputs = rl.load_network("digits-mlp"), rl.load_dataset("digits")
chip = rl.Chip(device=rl.devices.gaussian(sigma=arguments.sigma))


def simulation(seed: int) -> Simulation:
    return Simulation(network, inputs, chip, seed=seed)


def plain_chips(event: RareEvent) -> float:
    """Chips of plain Monte Carlo whose 95 % interval would be as narrow on the logarithm's scale."""
    error = math.log(event.high / event.low) / (2 * Z)
    return (1 - event.value) / (event.value * error**2)


print(f"digits-mlp, {len(inputs.y)} inputs, Gaussian devices of {arguments.sigma:g}\n")
print(f"| accuracy below {TARGET} | P | low | high | factor | chips | plain chips / chips | seconds |")
print("|---|---|---|---|---|---|---|---|")
runs, events, factors, gains, seconds = [], [], [], [], []
for repeat in range(arguments.repeats):
    start = time.perf_counter()
    found = find_rare_failures(simulation(100 + repeat), TARGET, chips=CHIPS)
    event = found.run.probability(found.inputs - found.required + 1)
    runs.append(found)
    seconds.append(time.perf_counter() - start)
    events.append(event)
    factors.append(event.high / event.value)
    gains.append(plain_chips(event) / found.chips)
    print(
        f"| {repeat + 1} | {event.value:.3e} | {event.low:.3e} | {event.high:.3e} | {factors[-1]:.3f} "
        f"| {found.chips} | {gains[-1]:.0f} | {seconds[-1]:.0f} |",
        flush=True,
    )
values = np.array([event.value for event in events])
if len(values) > 1:
    others = (values.sum() - values) / (len(values) - 1)
    covers = sum(event.low <= other <= event.high for event, other in zip(events, others, strict=True))
    error = values.std(ddof=1) / values.mean()
    stated = np.sqrt(np.mean([event.relative_error**2 for event in events]))
    achieved = (1 - values.mean()) / (values.mean() * error**2) / np.mean([found.chips for found in runs])
    print(
        f"\n{covers} of {len(values)} intervals cover the mean of the others; mean {values.mean():.3e}, "
        f"spread over repeats {error:.3f} (stated {stated:.3f}).\n"
        f"Factor {np.mean(factors):.3f} on average, at most {max(factors):.3f}; plain Monte Carlo needs "
        f"{np.mean(gains):.0f} times the chips for the same interval (at least {min(gains):.0f}), "
        f"{achieved:.0f} times for the same spread.\n"
        f"{np.mean(seconds):.1f} s a repeat."
    )

counts = np.zeros(len(inputs.y) + 1, np.int64)
plain = simulation(0)
for first in range(0, arguments.plain, BATCH):
    scores = plain.observe(first, min(BATCH, arguments.plain - first)).scores.ravel()
    counts += np.bincount(np.rint((1 - scores) * len(inputs.y)).astype(int), minlength=len(counts))
print(f"\n| accuracy below | plain, {arguments.plain:,} chips | low | high | subset simulation | error |")
print("|---|---|---|---|---|---|")
first = int(np.argmax(np.cumsum(counts[::-1])[::-1] < COMMON * arguments.plain))
for wrong in range(first, len(counts)):
    failed = int(counts[wrong:].sum())
    if failed < FEWEST or wrong > runs[0].inputs - runs[0].required + 1:
        break
    low, high = clopper_pearson(failed, arguments.plain)
    told = np.array([found.run.probability(wrong).value for found in runs])
    error = f"{told.std(ddof=1) / math.sqrt(len(told)):.1e}" if len(told) > 1 else ""
    print(
        f"| {1 - (wrong - 1) / len(inputs.y):.2%} | {failed / arguments.plain:.3e} | {low:.3e} | {high:.3e} "
        f"| {told.mean():.3e} | {error} |"
    )
