"""How many evaluations controls and thinned inputs save, and whether the intervals hold.

For each case a long plain run gives the truth on the same inputs. Then the estimate is repeated with other
chips and other samples of inputs: how often its interval holds the truth, how far off it is on average, and
how many chips x inputs plain Monte Carlo would have needed for the same variance. ResNet-20's repeats are
drawn from one stored run: chips and inputs are sampled from its outcomes.

Run ``python benchmarks/economy.py [CASE ...] [--repeats N] [--tail Q] [--data FOLDER]``; cases are digits,
digits-pcm, mnist, mnist-pcm, lenet, lenet-pcm and resnet. FOLDER holds ``mnist``, ``cifar10`` and ``models``.
``--store`` keeps the long runs, which ``--tail`` can share.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from reliability import DAY, Chip, devices, load_dataset, load_network
from reliability.analytic import AnalyticNetwork
from reliability.block import Block
from reliability.datasets import Dataset, parse_dataset
from reliability.economy import Panels, estimate_mean, estimate_tail
from reliability.network import Network
from reliability.preprocessing import parse_preprocessing
from reliability.simulation import Simulation
from reliability.surrogate import Surrogate

LEVEL = 0.95


class Stored:
    """A simulation whose chips are those of one stored run, in an order of their own."""

    def __init__(self, outcomes: np.ndarray, order: np.ndarray, inputs: np.ndarray | None = None) -> None:
        self.outcomes, self.order = outcomes, order
        self.inputs = np.arange(outcomes.shape[1]) if inputs is None else inputs

    def subset(self, chosen: np.ndarray) -> Stored:
        """The same chips on some of the inputs."""
        return Stored(self.outcomes, self.order, self.inputs[chosen])

    def block(self, group: int, first: int, count: int) -> Block:
        """What was stored of the chips in these places of the order."""
        right = self.outcomes[self.order[first : first + count]][:, self.inputs]
        empty = np.empty(0)
        return Block(np.packbits(right, axis=1)[:, None, None], empty, empty, empty, empty, empty)


class StoredSurrogate:
    """A surrogate whose coordinates are those of the stored chips."""

    def __init__(self, surrogate: Surrogate, coordinates: np.ndarray, order: np.ndarray) -> None:
        self.surrogate, self.known, self.order = surrogate, coordinates, order

    def __getattr__(self, name: str):
        return getattr(self.surrogate, name)

    def coordinates(self, first: int, count: int, *, seed: int, role: str) -> np.ndarray:
        """What the chips in these places of the order have along the directions."""
        return self.known[self.order[first : first + count]]


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
    parser.add_argument("--tail", type=float, help="estimate the share of chips below this quantile instead")
    given = parser.parse_args()
    print("case         drop  long run             mean of repeats  coverage   gain in evaluations")
    for case in given.cases:
        run(case, given)


def run(case: str, given: argparse.Namespace) -> None:
    """One line of the table."""
    network, dataset, chip, time_s = subject(case, given)
    simulation = Simulation(network, dataset, chip, time_s=time_s, seed=1)
    surrogate = Surrogate(AnalyticNetwork(network, dataset, chip, time_s=time_s))
    outcomes = long_run(simulation, case, given)
    accuracies = outcomes.mean(axis=1)
    truth, error = accuracies.mean(), accuracies.std(ddof=1) / np.sqrt(len(accuracies))
    drop = simulation.reference.mean() - truth
    start = time.perf_counter()
    if given.tail is not None:
        target = float(np.quantile(accuracies, given.tail)) + 1e-9
        truth = float((accuracies < target).mean())
        error = np.sqrt(truth * (1 - truth) / len(accuracies))
        rows = [
            estimate_tail(
                network, dataset, chip, target, time_s=time_s, surrogate=surrogate, seed=2 + r
            ).table.iloc[0]
            for r in range(given.repeats)
        ]
        found = np.array([[row["value"], row["low"], row["high"], row["evaluations"]] for row in rows])
        plain = truth * (1 - truth) * outcomes.shape[1]
    elif case == "resnet":
        found = from_stored(surrogate, outcomes, simulation, given)
        plain = accuracies.var(ddof=1) * outcomes.shape[1]
    else:
        rows = [
            estimate_mean(
                network, dataset, chip, time_s=time_s, chips=given.chips, surrogate=surrogate, seed=2 + r
            ).table.iloc[0]
            for r in range(given.repeats)
        ]
        found = np.array([[row["value"], row["low"], row["high"], row["evaluations"]] for row in rows])
        plain = accuracies.var(ddof=1) * outcomes.shape[1]
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


def from_stored(
    surrogate: Surrogate, outcomes: np.ndarray, simulation: Simulation, given: argparse.Namespace
) -> np.ndarray:
    """Estimates from chips and inputs sampled from one stored run."""
    coordinates = surrogate.coordinates(0, len(outcomes), seed=simulation.seed, role="certify")
    found = []
    for repeat in range(given.repeats):
        order = np.random.default_rng(repeat).integers(0, len(outcomes), given.chips)
        stored = StoredSurrogate(surrogate, coordinates, order)
        panels = Panels(surrogate.analytic, stored, Stored(outcomes, order), 32, repeat)
        panels.add(given.chips // len(panels.panels))
        estimate = panels.estimate(LEVEL)
        found.append([estimate.value, estimate.low, estimate.high, panels.chips * 32])
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
