"""Noise-aware training of a small multilayer perceptron, in plain float32 NumPy.

Only the built-in networks are made with it. Each forward pass sees weights with
Gaussian noise, as an analog chip would give them, and after each update the
weights of a layer are clipped to a few of their standard deviations, so that no
single large weight sets the conductance scale of the whole layer.

Source: V. Joshi et al., "Accurate deep neural network inference using
computational phase-change memory", Nature Communications 11, 2473 (2020),
DOI 10.1038/s41467-020-16108-9.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from reliability.datasets import Dataset
from reliability.network import Network, Preprocessing, mlp

# Adam's usual constants: Kingma & Ba, "Adam: a method for stochastic optimization" (2015).
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Recipe:
    """What fixes a training run, apart from its data.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    epochs, batch : int
        Passes over the training set, and inputs in one minibatch.
    rate : float
        Adam's first step size; it falls to zero along half a cosine.
    seed : int
        Fixes the initial weights, the order of the inputs and the noise.
    noise : float
        Standard deviation of the weight noise, as a fraction of the layer's largest weight.
    clip : float
        Largest weight allowed, in standard deviations of the layer's weights.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch: int
    rate: float
    seed: int
    noise: float = 0.038
    clip: float = 2.5


def train(
    x: np.ndarray, y: np.ndarray, classes: int, recipe: Recipe
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Train with softmax cross-entropy and return what the last epoch left.

    Parameters
    ----------
    x : ndarray of float32, shape (N, features)
        Preprocessed inputs.
    y : ndarray of int, shape (N,)
        Labels, 0 to ``classes - 1``.
    classes : int
    recipe : Recipe

    Returns
    -------
    weights : list of ndarray of float32, shapes (outputs, inputs)
    biases : list of ndarray of float32, shapes (outputs,)
    """
    random = np.random.Generator(np.random.PCG64(recipe.seed))
    widths = (x.shape[1], *recipe.hidden, classes)
    # He et al. (2015): variance 2 / inputs keeps the size of ReLU activations from layer to layer.
    weights = [
        random.standard_normal((n_out, n_in), np.float32) * np.float32(np.sqrt(2 / n_in))
        for n_in, n_out in pairwise(widths)
    ]
    biases = [np.zeros(n, np.float32) for n in widths[1:]]
    parameters = weights + biases
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    one_hot = np.eye(classes, dtype=np.float32)[y]

    steps = recipe.epochs * -(-len(x) // recipe.batch)
    step = 0
    for _ in range(recipe.epochs):
        order = random.permutation(len(x))
        for start in range(0, len(x), recipe.batch):
            chosen = order[start : start + recipe.batch]
            noisy = [w + _noise(w, recipe.noise, random) for w in weights]
            gradients = _gradients(noisy, biases, x[chosen], one_hot[chosen])

            rate = recipe.rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            step += 1
            rate *= np.sqrt(1 - SQUARE_DECAY**step) / (1 - MEAN_DECAY**step)
            for p, g, mean, square in zip(parameters, gradients, means, squares, strict=True):
                mean += np.float32(1 - MEAN_DECAY) * (g - mean)
                square += np.float32(1 - SQUARE_DECAY) * (g * g - square)
                p -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(EPSILON))
            for w in weights:
                limit = np.float32(recipe.clip) * w.std()
                np.clip(w, -limit, limit, out=w)
    return weights, biases


def make_network(
    name: str, origin: str, recipe: Recipe, preprocessing: Preprocessing, training: Dataset, test: Dataset
) -> Network:
    """Train a network and say in its ``about`` how it was made and how many test inputs it gets right.

    Parameters
    ----------
    name : str
    origin : str
        The data it is trained on, in words.
    recipe : Recipe
    preprocessing : Preprocessing
    training, test : Dataset
        Raw inputs and labels. The test inputs choose nothing: they are only counted.
    """
    shape = training.x.shape[1:]
    inputs = preprocessing.apply(training.x).reshape(len(training), -1)
    weights, biases = train(inputs, training.y, int(training.y.max()) + 1, recipe)
    network = mlp(weights, biases, input_shape=shape, preprocessing=preprocessing, name=name)
    hits = correct(network, test)
    about = (
        f"Trained on {origin} ({len(training)} inputs) by data/train.py: {recipe.epochs} epochs of Adam, "
        f"minibatches of {recipe.batch}, step size {recipe.rate:g} falling to 0 along half a cosine, "
        f"seed {recipe.seed}, weights of the last epoch. Noise-aware: in training, Gaussian weight noise "
        f"of {recipe.noise:.1%} of the layer's largest weight in each forward pass, and weights clipped to "
        f"{recipe.clip:g} standard deviations of their layer (after Joshi et al. 2020). Without noise it "
        f"gets {hits} of {len(test)} test inputs right ({hits / len(test):.2%})."
    )
    return replace(network, about=about)


def correct(network: Network, dataset: Dataset) -> int:
    """Count the inputs of a dataset that a network gives their label."""
    return int((network.forward(network.prepare(dataset.x)).argmax(axis=1) == dataset.y).sum())


def _noise(weight: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    sigma = np.float32(noise) * np.abs(weight).max()
    return sigma * random.standard_normal(weight.shape, np.float32)


def _gradients(
    weights: list[np.ndarray], biases: list[np.ndarray], x: np.ndarray, target: np.ndarray
) -> list[np.ndarray]:
    """Gradients of the mean cross-entropy: of every weight matrix, then of every bias."""
    activations = [x]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        activations.append(np.maximum(activations[-1] @ w.T + b, np.float32(0)))
    logits = activations[-1] @ weights[-1].T + biases[-1]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    slope = (e / e.sum(axis=1, keepdims=True) - target) / np.float32(len(x))

    of_weights: list[np.ndarray] = []
    of_biases: list[np.ndarray] = []
    for w, a in zip(reversed(weights), reversed(activations), strict=True):
        of_weights.append(slope.T @ a)
        of_biases.append(slope.sum(axis=0))
        slope = (slope @ w) * (a > 0)
    return of_weights[::-1] + of_biases[::-1]
