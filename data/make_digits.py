"""Make ``digits.npz`` and ``digits_mlp.npz``: the built-in digits and their network.

Run ``python data/make_digits.py`` in a checkout, or ``python -m reliability.data.make_digits``
where the package is installed. Needs scikit-learn: ``pip install crossbar-reliability[data]``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

if not __package__:  # run as a file: the package is found in the checkout, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reliability import data
from reliability.data.train import Recipe, make_network
from reliability.datasets import Dataset
from reliability.network import Network, Preprocessing

TEST_INPUTS = 450
SPLIT_SEED = 0

# Width, epochs, batch and step size were chosen by five-fold cross-validation on the training inputs.
RECIPE = Recipe(hidden=(64,), epochs=120, batch=32, rate=3e-3, seed=1)


def make_digits() -> dict[str, np.ndarray]:
    """Read the digits from scikit-learn and split them, stratified by label.

    Returns
    -------
    dict of ndarray
        ``x`` uint8 (1797, 8, 8), values 0 to 16; ``y`` uint8 (1797,); ``train`` int64 (1347,) and
        ``test`` int64 (450,), indices into both.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)),
        test_size=TEST_INPUTS,
        stratify=digits.target,
        random_state=SPLIT_SEED,
    )
    return {
        "x": digits.images.astype(np.uint8),
        "y": digits.target.astype(np.uint8),
        "train": train.astype(np.int64),
        "test": test.astype(np.int64),
    }


def make_digits_mlp(digits: dict[str, np.ndarray]) -> Network:
    """Train digits-mlp on the training inputs of :func:`make_digits`."""
    training, test = (
        Dataset("digits", digits["x"][digits[split]], digits["y"][digits[split]], split)
        for split in ("train", "test")
    )
    origin = "the UCI handwritten digits"
    return make_network("digits-mlp", origin, RECIPE, Preprocessing(scale=1 / 16), training, test)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description="Make the built-in digits and train digits-mlp.")
    parser.add_argument("--out", type=Path, default=data.folder(), help="folder to write to (%(default)s)")
    out = parser.parse_args().out
    digits = make_digits()
    np.savez_compressed(out / "digits.npz", **digits)
    network = make_digits_mlp(digits)
    network.save(out / "digits_mlp.npz")
    print(network.about)


if __name__ == "__main__":
    main()
