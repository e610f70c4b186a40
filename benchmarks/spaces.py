"""Spaces of designs, of at least 500 each, on which recommendations are judged."""

from __future__ import annotations

import warnings

import numpy as np
from shared_data import WHERE, mnist_folder
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from reliability import DAY, HOUR, MONTH, YEAR, Chip, devices, load_dataset, load_network
from reliability.datasets import Dataset, from_arrays
from reliability.mitigation.candidates import Candidates
from reliability.mitigation.clipping import Clipping
from reliability.mitigation.column_scale import ColumnScale
from reliability.mitigation.compensation import DriftCompensation
from reliability.mitigation.cure import Cure
from reliability.mitigation.redundancy import Redundancy
from reliability.mitigation.refresh import Refresh
from reliability.mitigation.space import Knob, Option, Space
from reliability.mitigation.write_verify import VerifyWeights
from reliability.network import mlp
from reliability.write_verify import WriteVerify


def knob(name: str, cures: dict[str, Cure], *layers: str) -> Knob:
    """No cure, or one of several."""
    own = layers or None
    return Knob(name, (Option("none"), *(Option(label, (cure,), own) for label, cure in cures.items())))


def copies(layer: str, counts: tuple[int, ...] = (2, 3, 4)) -> Knob:
    """Copies of one layer."""
    return knob(f"copies of {layer}", {str(k): Redundancy(k) for k in counts}, layer)


def clipping(*percentiles: float) -> Knob:
    """Clipped weights of all layers."""
    return knob("clipping", {f"{p:g} %": Clipping(p) for p in percentiles})


SCALE = knob("scale", {"a column": ColumnScale()})
MANY = (2, 3, 4, 5, 6, 8)


def of_digits(chip: Chip, *knobs: Knob, times: tuple[float, ...] = (0.0,)) -> Candidates:
    """Candidates on the digits network and its 450 test inputs."""
    return Candidates(load_network("digits-mlp"), load_dataset("digits"), Space(chip, knobs), times)


def of_copies() -> Candidates:
    """Gaussian devices: copies of both layers, clipping, a scale a column."""
    chip = Chip(device=devices.gaussian(sigma=0.1))
    return of_digits(chip, copies("fc1", MANY), copies("fc2", MANY), clipping(99.8, 99.4, 99, 97, 94), SCALE)


def of_writing() -> Candidates:
    """Gaussian devices: shares of verified weights, copies of both layers, clipping, a scale a column."""
    chip = Chip(device=devices.gaussian(sigma=0.15))
    shares = {f"{s:.0%}": VerifyWeights(verified(s)) for s in (0.1, 0.25, 0.5, 0.75, 1.0)}
    return of_digits(
        chip, knob("write-verify", shares), copies("fc1"), copies("fc2"), clipping(99, 97), SCALE
    )


def verified(share: float) -> WriteVerify:
    """Write-verify of the largest weights of the chip."""
    return WriteVerify(share=share, scope="chip", tolerance=0.09)


def drift_knobs() -> tuple[Knob, ...]:
    """Compensation, refresh, copies of both layers, clipping, a scale a column."""
    factors = {name: DriftCompensation(name) for name in ("exact", "global", "column")}
    refresh = knob("refresh", {"half a year": Refresh(YEAR / 2)})
    return knob("compensation", factors), refresh, copies("fc1"), copies("fc2"), clipping(99, 97), SCALE


GRID = (0.0, HOUR, DAY, MONTH, YEAR)


def of_drift() -> Candidates:
    """Phase-change memory to one year."""
    return of_digits(Chip(), *drift_knobs(), times=GRID)


def of_drift_mnist() -> Candidates:
    """The same of MNIST in 7 x 7 pixels: as small a network, and halves of 1,000 inputs in place of 225."""
    train, test = pooled("train", 20_000), pooled("test", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = MLPClassifier((32,), alpha=0.01, batch_size=100, learning_rate_init=3e-3, max_iter=20)
        fitted.set_params(random_state=0).fit(train.x, train.y)
    weights = [np.ascontiguousarray(own.T, np.float32) for own in fitted.coefs_]
    network = mlp(weights, [own.astype(np.float32) for own in fitted.intercepts_])
    return Candidates(network, test, Space(Chip(), drift_knobs()), GRID)


def pooled(split: str, count: int) -> Dataset:
    """The first images of MNIST, each pixel the mean of 4 x 4."""
    folder = mnist_folder()
    if folder is None:
        raise SystemExit(f"MNIST is absent: {WHERE}")
    images = load_dataset("mnist", folder, split).head(count)
    means = np.asarray(images.x, np.float32).reshape(-1, 7, 4, 7, 4).mean((2, 4))
    return from_arrays(means.reshape(-1, 49) / 64, images.y)


SPACES = {"copies": of_copies, "writing": of_writing, "drift": of_drift, "drift-mnist": of_drift_mnist}
"""By name: what makes the candidates."""
