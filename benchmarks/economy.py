"""How many evaluations controls and thinned inputs save, and whether the intervals hold.

For each case a long plain run gives the truth on the same inputs. Then the estimate is repeated with other
chips and other samples of inputs: how often its interval holds the truth, how far off it is on average, and
how many chips x inputs plain Monte Carlo would have needed for the same variance.

Run ``python benchmarks/economy.py [CASE ...] [--repeats N] [--tail Q] [--data FOLDER]``; cases are digits,
digits-pcm, mnist, mnist-pcm, lenet, lenet-pcm and resnet. FOLDER holds ``mnist``, ``cifar10`` and ``models``.
``--store`` keeps the long runs, which ``--tail`` can share. With ``--drawn`` no repeat simulates chips of its
own: its chips are drawn, with replacement, from those of the long run, whose mean and share are then the
truth itself.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from reliability import DAY, Chip, devices, load_dataset, load_network
from reliability.analytic import AnalyticNetwork
from reliability.block import Block, unpacked
from reliability.datasets import Dataset, parse_dataset
from reliability.economy import Panels, estimate_mean, estimate_tail
from reliability.economy.two_phase import two_phase
from reliability.network import Network
from reliability.preprocessing import parse_preprocessing
from reliability.simulation import Simulation
from reliability.statistics.lifetime import required_correct
from reliability.surrogate import DIRECTIONS, Surrogate

LEVEL = 0.95
# Chips that an estimate of a tail realises.
_REALISED = 20_000


class Stored:
    """A simulation whose chips are those of one stored run, in an order of their own."""

    block_chips = 1 << 12

    def __init__(self, runs: np.ndarray, order: np.ndarray, inputs: np.ndarray | None = None) -> None:
        self.runs, self.order = runs, order
        self.inputs = np.arange(runs.shape[1]) if inputs is None else inputs

    def subset(self, chosen: np.ndarray) -> Stored:
        """The same chips on some of the inputs."""
        return Stored(self.runs, self.order, self.inputs[chosen])

    @property
    def labels(self) -> np.ndarray:
        """One for each input."""
        return self.inputs

    def outcomes(self, first: int, count: int) -> np.ndarray:
        """Which inputs neighbouring chips get right."""
        places = np.arange(first, first + count)
        return unpacked(self.evaluate(0, places).bits, len(self.inputs))

    def evaluate(self, group: int, places: np.ndarray) -> Block:
        """What was stored of the chips in these places of the order."""
        right = self.runs[np.ix_(self.order[places], self.inputs)]
        empty = np.empty(0)
        return Block(np.packbits(right, axis=1)[:, None, None], empty, empty, empty, empty, empty)


class StoredSurrogate:
    """A surrogate whose coordinates are those of the stored chips, and whose mean is theirs."""

    def __init__(self, surrogate: Surrogate, known: np.ndarray) -> None:
        self.surrogate, self.known = surrogate, known
        self.mean = float(surrogate.accuracies(known).mean())
        self.order = np.arange(len(known))

    def __getattr__(self, name: str):
        return getattr(self.surrogate, name)

    def coordinates(self, first: int, count: int, *, seed: int, role: str) -> np.ndarray:
        """What the chips in these places of the order, or drawn anew beyond it, have along the directions."""
        if role == "search":
            return self.surrogate.coordinates(first, count, seed=seed, role=role)
        if first < len(self.order):
            return self.known[self.order[first : first + count]]
        return self.known[np.random.default_rng([seed, first]).integers(0, len(self.known), count)]


def main() -> None:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=["digits", "digits-pcm"])
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--chips", type=int, default=256, help="chips of one estimate")
    parser.add_argument("--truth", type=int, default=20_000, help="chips of the long run")
    parser.add_argument("--store", type=Path, help="folder that keeps the long runs")
    parser.add_argument("--inputs", type=int, help="use the first so many test inputs")
    parser.add_argument("--sigma", type=float, help="programming error, of the largest weight")
    parser.add_argument("--directions", type=int, default=DIRECTIONS, help="of the surrogate")
    parser.add_argument("--drawn", action="store_true", help="draw the repeats' chips from the long run")
    parser.add_argument("--tail", type=float, help="estimate the share of chips below this quantile instead")
    given = parser.parse_args()
    print("case         drop  long run             mean of repeats  coverage   gain in evaluations")
    for case in given.cases:
        run(case, given)


def run(case: str, given: argparse.Namespace) -> None:
    """One line of the table."""
    network, dataset, chip, time_s = subject(case, given)
    simulation = Simulation(network, dataset, chip, time_s=time_s, seed=1)
    surrogate = Surrogate(AnalyticNetwork(network, dataset, chip, time_s=time_s), given.directions)
    outcomes = long_run(simulation, case, given)
    accuracies = outcomes.mean(axis=1)
    truth, error = accuracies.mean(), accuracies.std(ddof=1) / np.sqrt(len(accuracies))
    drop = simulation.reference.mean() - truth
    plain = accuracies.var(ddof=1) * outcomes.shape[1]
    target = None
    if given.tail is not None:
        target = float(np.quantile(accuracies, given.tail)) + 1e-9
        truth = float((accuracies < target).mean())
        error = np.sqrt(truth * (1 - truth) / len(accuracies))
        plain = truth * (1 - truth) * outcomes.shape[1]
    start = time.perf_counter()
    if given.drawn:
        found = drawn(surrogate, outcomes, simulation, target, given)
    else:
        options = {"time_s": time_s, "surrogate": surrogate}
        if target is None:
            estimate = partial(estimate_mean, network, dataset, chip, chips=given.chips, **options)
        else:
            estimate = partial(estimate_tail, network, dataset, chip, target, **options)
        rows = [estimate(seed=2 + r).table.iloc[0] for r in range(given.repeats)]
        found = np.array([[row["value"], row["low"], row["high"], row["evaluations"]] for row in rows])
    values, low, high, evaluations = found.T
    held = ((low <= truth) & (truth <= high)).mean()
    variance = values.var(ddof=1)
    gain = plain / (variance * evaluations.mean())
    # The variance of the repeats is itself an estimate.
    spread = 2 / np.sqrt(2 * (len(values) - 1))
    print(
        f"{case:10} {100 * drop:6.2f}  {100 * truth:.3f} +- {100 * error:.3f}     "
        f"{100 * values.mean():.3f} +- {100 * values.std(ddof=1) / np.sqrt(len(values)):.3f}   {held:.3f}"
        f"      {gain:.1f} [{gain * (1 - spread):.1f}, {gain * (1 + spread):.1f}]"
        f"   ({(time.perf_counter() - start) / len(values):.2f} s each)",
        flush=True,
    )


def long_run(simulation: Simulation, case: str, given: argparse.Namespace) -> np.ndarray:
    """Which inputs the chips of the long run get right, kept where there is a folder for it."""
    count, file = len(simulation.labels), None
    if given.store is not None:
        given.store.mkdir(parents=True, exist_ok=True)
        sigma = "" if given.sigma is None else f"-{given.sigma:g}"
        file = given.store / f"{case}{sigma}-{given.truth}x{count}.npy"
        if file.exists():
            return np.unpackbits(np.load(file), axis=1, count=count).view(bool)
    outcomes = simulation.outcomes(0, given.truth)[:, 0, 0]
    if file is not None:
        np.save(file, np.packbits(outcomes, axis=1))
    return outcomes


def drawn(
    surrogate: Surrogate,
    outcomes: np.ndarray,
    simulation: Simulation,
    target: float | None,
    given: argparse.Namespace,
) -> np.ndarray:
    """Estimates from chips drawn from the long run."""
    known = surrogate.coordinates(0, len(outcomes), seed=simulation.seed, role="certify")
    told, found = StoredSurrogate(surrogate, known), []
    analytic, scores = surrogate.analytic, surrogate.analytic.check().scores
    for repeat in range(given.repeats):
        count = given.chips if target is None else _REALISED
        told.order = np.random.default_rng(repeat).integers(0, len(outcomes), count)
        stored = Stored(outcomes, told.order)
        if target is None:
            panels = Panels(analytic, told, stored, 32, repeat)
            panels.add(given.chips // len(panels.panels))
            own, evaluations = panels.estimate(LEVEL), panels.chips * 32
        else:
            needed = required_correct(target, outcomes.shape[1])
            sample = two_phase(
                analytic, told, stored, scores, needed, chips=count, share=0.05, seed=repeat, level=LEVEL
            )
            own, evaluations = sample.found, sample.evaluations
        found.append([own.value, own.low, own.high, evaluations])
    return np.array(found)


def subject(case: str, given: argparse.Namespace) -> tuple[Network, Dataset, Chip, float]:
    """Network, inputs, chip and time of a case."""
    name, _, law = case.partition("-")
    models = given.data / "models"
    if name == "digits":
        network, dataset, sigma = load_network("digits-mlp"), load_dataset("digits"), 0.1
    elif name == "mnist":
        network, sigma = load_network("mnist-mlp"), 0.15
        dataset = parse_dataset(f"mnist:{given.data / 'mnist'}")
    elif name == "lenet":
        network, sigma = load_network(models / "mnist_lenet5_relu.onnx"), 0.045
        dataset = parse_dataset(f"mnist:{given.data / 'mnist'}").head(2000)
    elif name == "resnet":
        network, sigma = load_network(models / "resnet20_cifar10.onnx"), 0.014
        network = replace(network, preprocessing=parse_preprocessing("imagenet"))
        dataset = parse_dataset(f"cifar10:{given.data / 'cifar10'}").head(500)
    else:
        raise SystemExit(f"there is no case {case!r}")
    if given.inputs is not None:
        dataset = dataset.head(given.inputs)
    if law == "pcm":
        return network, dataset, Chip(compensation="global"), DAY
    return network, dataset, Chip(device=devices.gaussian(sigma=given.sigma or sigma)), 0.0


if __name__ == "__main__":
    main()
