"""One chip in a million: how precise, how cheap and how honest the estimate of a rare failure is.

    python benchmarks/rare_failures.py [--repeats 10]

prints two markdown tables. First a failure that plain Monte Carlo reaches, against it. Then one near 1e-6,
estimated again and again: each interval, how far its upper end is from the estimate, how many chips it took,
how many plain Monte Carlo would have needed for an interval as narrow, and whether it covers the mean of all
the other repeats, which it had no part in. A repeat takes about 20 seconds on two cores.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import reliability as rl
from reliability.rare import RareFailures, find_rare_failures
from reliability.simulation import Simulation
from reliability.statistics import clopper_pearson
from reliability.statistics.subset import RareEvent

Z = 1.959964
PLAIN = 200_000
COMMON, RARE = 0.94, 0.91
COMMON_CHIPS, RARE_CHIPS = 4000, 28_000

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--repeats", type=int, default=10)
parser.add_argument("--sigma", type=float, default=0.06, help="programming error, of the largest conductance")
arguments = parser.parse_args()

network, inputs = rl.load_network("digits-mlp"), rl.load_dataset("digits")
chip = rl.Chip(device=rl.devices.gaussian(sigma=arguments.sigma))


def simulation(seed: int) -> Simulation:
    return Simulation(network, inputs, chip, seed=seed)


def estimate(target: float, chips: int, seed: int) -> tuple[RareFailures, RareEvent]:
    found = find_rare_failures(simulation(seed), target, chips=chips)
    return found, found.run.probability(found.inputs - found.required + 1)


def plain_chips(event: RareEvent) -> float:
    """Chips of plain Monte Carlo whose 95 % interval would be as narrow on the logarithm's scale."""
    error = math.log(event.high / event.low) / (2 * Z)
    return (1 - event.value) / (event.value * error**2)


print(f"digits-mlp, {len(inputs.y)} inputs, Gaussian devices of {arguments.sigma:g}\n")
plain = simulation(0)
correct = np.rint(plain.observe(0, PLAIN).scores.ravel() * len(inputs.y))
failed = int(np.count_nonzero(correct < math.ceil(COMMON * len(inputs.y) - 1e-9)))
low, high = clopper_pearson(failed, PLAIN)
print(f"| accuracy below {COMMON} | P | low | high | chips |\n|---|---|---|---|---|")
print(f"| plain Monte Carlo | {failed / PLAIN:.3e} | {low:.3e} | {high:.3e} | {PLAIN} |", flush=True)
for seed in range(1, 4):
    found, event = estimate(COMMON, COMMON_CHIPS, seed)
    print(
        f"| subset simulation | {event.value:.3e} | {event.low:.3e} | {event.high:.3e} | {found.chips} |",
        flush=True,
    )

print(f"\n| accuracy below {RARE} | P | low | high | factor | chips | plain chips / chips | seconds |")
print("|---|---|---|---|---|---|---|---|")
events, factors, gains, spent, seconds = [], [], [], [], []
for repeat in range(arguments.repeats):
    start = time.perf_counter()
    found, event = estimate(RARE, RARE_CHIPS, 100 + repeat)
    seconds.append(time.perf_counter() - start)
    events.append(event)
    factors.append(event.high / event.value)
    gains.append(plain_chips(event) / found.chips)
    spent.append(found.chips)
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
    achieved = (1 - values.mean()) / (values.mean() * error**2) / np.mean(spent)
    print(
        f"\n{covers} of {len(values)} intervals cover the mean of the others; mean {values.mean():.3e}, "
        f"spread over repeats {error:.3f} (stated {stated:.3f}).\n"
        f"Factor {np.mean(factors):.3f} on average, at most {max(factors):.3f}; plain Monte Carlo needs "
        f"{np.mean(gains):.0f} times the chips for the same interval (at least {min(gains):.0f}), "
        f"{achieved:.0f} times for the same spread.\n"
        f"{np.mean(seconds):.1f} s a repeat."
    )
