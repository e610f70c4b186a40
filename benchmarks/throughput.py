"""Trials a second: ours, the plain loops and this machine's own matrix product, in alternating rounds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import converters
import peers_numpy
import product
import workloads
from tables import print_table
from timing import alternate, medians, thread_counts

from reliability.simulation import Simulation

SIGMA = 0.02

Loop = tuple[Callable[[], float], int]
"""A function that gives the mean accuracy of some trials, and their number."""


def report_w1(rounds: int, cores: int) -> None:
    w = workloads.w1(SIGMA)
    title = "W1: MLP 784-256-128-10, 1,000 inputs, two Gaussian-programmed devices a weight, all included"
    _report(title, w, 128, _mlp_loops(w, None), rounds, cores)


def report_w2(rounds: int, cores: int) -> None:
    w = workloads.w2(SIGMA)
    title = "W2: W1 on tiles of 256 rows, 8-bit DAC on every layer's inputs, 8-bit ADC a tile and column"
    ends = converters.calibrated(w.weights, w.calibration[: w.chip.calibration_inputs])
    _report(title, w, 128, _mlp_loops(w, ends), rounds, cores)


def report_w3(rounds: int, cores: int) -> None:
    w = workloads.w3(SIGMA)
    loops = {"NumPy loop": (peers_numpy.resnet_loop(w, SIGMA, 1), 1)}
    if importlib.util.find_spec("torch"):
        import peers_torch
        import torch

        for name, layout in (("NCHW", torch.contiguous_format), ("channels last", torch.channels_last)):
            loops[f"PyTorch loop, {name}"] = (peers_torch.resnet_loop(w, SIGMA, 4, layout), 4)
    title = "W3: ResNet-20, 100 images, two Gaussian-programmed devices a weight, all included"
    _report(title, w, 16, loops, rounds, cores)


def report_w4(rounds: int, cores: int) -> None:
    title = "W4: the main job, a PCM chip 784-250-10 at five times, 1,000 inputs, global compensation"
    _report(title, workloads.w4(), 32, {}, rounds, cores)


def chips_of(simulation: Simulation, chips: int) -> Callable[[], float]:
    """Simulate so many chips, everything included but the description."""
    return lambda: simulation.block(0, 0, chips).scores.mean()


def _mlp_loops(w: workloads.Workload, ends: list[converters.Converters] | None) -> dict[str, Loop]:
    trials = 16
    loops = {"NumPy loop": (peers_numpy.mlp_loop(w, SIGMA, trials, ends), trials)}
    if importlib.util.find_spec("torch"):
        import peers_torch

        loops["PyTorch loop"] = (peers_torch.mlp_loop(w, SIGMA, trials, ends), trials)
    return loops


def _report(
    title: str, w: workloads.Workload, chips: int, loops: dict[str, Loop], rounds: int, cores: int
) -> None:
    """Time a workload on 1 thread and on all cores, and print the table."""
    whole, product_flops = product.matrix_product()
    contenders = {}
    for threads in thread_counts(cores):
        contenders[product.NAME, threads] = (whole, 1)
        for name, simulation in w.engines(threads).items():
            contenders[name, threads] = (chips_of(simulation, chips), chips * w.times)
        for name, loop in loops.items():
            contenders[name, threads] = loop
    found = medians(alternate(contenders, rounds))
    libraries = [n for n in ("NumPy loop", "PyTorch loop") if any(loop.startswith(n) for loop in loops)]
    fastest = {
        (library, threads): min((n for n in loops if n.startswith(library)), key=lambda n: found[n, threads])
        for library in libraries
        for threads in thread_counts(cores)
    }
    # Where the network gives all inputs one class, agreement with it tells nothing.
    told = len(set(w.labels)) > 1
    flops, rows = w.flops, []
    for (name, threads), seconds in found.items():
        own = name == product.NAME
        rate = (product_flops if own else flops) / seconds
        row = [name, threads, "" if own else 1 / seconds, rate / 1e9]
        row.append(rate * found[product.NAME, threads] / product_flops)
        row += ["" if own else found[fastest[n, threads], threads] / seconds for n in libraries]
        if told:
            row.append("" if own else f"{contenders[name, threads][0]():.3f}")
        rows.append(row)
    print(f"\n## {title}\n")
    head = ["", "threads", "trials/s", "GFLOP/s", f"of {product.NAME}"]
    head += [f"times as fast as the {n}" for n in libraries]
    print_table([*head, "accuracy"] if told else head, rows)
    print("\nGFLOP/s: of the products of float32 weights and inputs, however they are computed.")
    if told:
        print("Accuracy: agreement with the digital network, mean over the trials.")
    if sum(n.startswith("PyTorch") for n in loops) > 1:
        names = [f"{fastest['PyTorch loop', t]} (threads: {t})" for t in thread_counts(cores)]
        print(f"The faster PyTorch loop, which ratios refer to: {'; '.join(names)}.")
    if not importlib.util.find_spec("torch") and loops:
        print("PyTorch is not installed: no PyTorch loop.")
    if cores > 1:
        for name in dict.fromkeys(n for n, _ in found if n not in loops):
            print(
                f"From 1 to {cores} threads, {name}: {found[name, 1] / found[name, cores]:.2f} times as fast."
            )
