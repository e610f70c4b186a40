"""Make ``mnist_mlp.npz``: a network trained on MNIST, whose files the user names.

Run ``python data/make_mnist.py FOLDER`` in a checkout, or ``python -m reliability.data.make_mnist
FOLDER`` where the package is installed. FOLDER holds the four original IDX files, gzipped or not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a file: the package is found in the checkout, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reliability import data
from reliability.data.train import Recipe, make_network
from reliability.datasets import load_dataset
from reliability.errors import UserError
from reliability.network import Network, Preprocessing

# Epochs, batch and step size were chosen by training on 50,000 of the training inputs and counting on the
# other 10,000.
RECIPE = Recipe(hidden=(250,), epochs=40, batch=100, rate=5e-3, seed=1)


def make_mnist_mlp(folder: Path) -> Network:
    """Train mnist-mlp on the MNIST files in ``folder``."""
    training, test = (load_dataset("mnist", folder, split) for split in ("train", "test"))
    return make_network("mnist-mlp", "MNIST", RECIPE, Preprocessing(scale=1 / 255), training, test)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Train mnist-mlp.")
    parser.add_argument("folder", type=Path, help="folder with the four IDX files of MNIST")
    parser.add_argument("--out", type=Path, default=data.folder(), help="folder to write to (%(default)s)")
    arguments = parser.parse_args()
    try:
        network = make_mnist_mlp(arguments.folder)
    except UserError as error:
        parser.error(str(error))
    network.save(arguments.out / "mnist_mlp.npz")
    print(network.about)


if __name__ == "__main__":
    main()
