"""Accuracies over chips from the first read to a year, against an independent simulation.

The twin is the plain-NumPy law of ``naive`` in float64, its normals from NumPy's own generator. The
two agree if the intervals of their difference hold zero, in the mean over chips and in the spread over chips,
of the accuracy and of the mean margin, which feels what an accuracy near one does not.
"""

from __future__ import annotations

import naive
import numpy as np
import pytest
from scipy import stats

import reliability as rl
from reliability.network import Linear, Network, ReLU
from reliability.units import DAY, HOUR, YEAR

TIMES = (0.0, HOUR, DAY, YEAR)
VARIANTS = ("none", "global")
# Each interval reaches 3.5 standard errors: the 32 of one network hold together with 98 %.
REACH = 3.5
LEVEL = 1 - 2 * float(stats.norm.sf(REACH))


def accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return logits.argmax(axis=1) == labels


def margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far each input's own class lies above the best other one."""
    own = logits[np.arange(len(labels)), labels]
    others = np.where(np.arange(logits.shape[1]) == labels[:, None], -np.inf, logits)
    return own - others.max(axis=1)


METRICS = (accuracy, margin)


def independent_scores(net: Network, x: np.ndarray, y: np.ndarray, chips: int) -> np.ndarray:
    """Mean metrics of chips of the default PCM law, shape (metrics, chips, times, variants)."""
    random = np.random.default_rng(2024)
    layers = {node.name: node.layer.weight.shape for node in net.nodes if isinstance(node.layer, Linear)}

    def draw(*names: str) -> naive.Latents:
        return {(layer, name): random.normal(size=(2, *s)) for layer, s in layers.items() for name in names}

    scores = np.empty((len(METRICS), chips, len(TIMES), len(VARIANTS)))
    for chip in range(chips):
        arrays = naive.write(net, rl.Chip(), draw("programming", "drift"))
        for i, time_s in enumerate(TIMES):
            now = draw("read_1f")
            weights = {layer: array.weights(now, time_s)[0] for layer, array in arrays.items()}
            read_out = {layer: np.abs(w).sum() for layer, w in weights.items()}
            if i == 0:
                reference = read_out
            for j, compensated in enumerate((False, True)):
                factors = {layer: reference[layer] / read_out[layer] for layer in layers}
                logits = forward(net, x, weights, factors if compensated else dict.fromkeys(layers, 1))
                scores[:, chip, i, j] = [metric(logits, y).mean() for metric in METRICS]
    return scores


def forward(net: Network, x: np.ndarray, weights: dict, factors: dict) -> np.ndarray:
    values = net.prepare(x).reshape(len(x), -1)
    for node in net.nodes:
        if isinstance(node.layer, Linear):
            values = values @ weights[node.name].T * factors[node.name] + node.layer.bias
        elif isinstance(node.layer, ReLU):
            values = np.maximum(values, 0)
    return values


def simulated_scores(net: Network, x: np.ndarray, y: np.ndarray, chips: int) -> np.ndarray:
    """The same by the library."""
    vary = {"time_s": list(TIMES), "compensation": list(VARIANTS)}
    scores = []
    for metric in METRICS:
        trials = rl.simulate(net, (x, y), rl.Chip(), vary=vary, chips=chips, seed=2, metric=metric)
        scores.append(trials["accuracy"].to_numpy().reshape(len(TIMES), len(VARIANTS), chips))
    return np.moveaxis(scores, 3, 1)


def spread_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Interval of the logarithm of the ratio of two standard deviations, by the delta method."""
    error = np.sqrt(sum((2 + stats.kurtosis(sample)) / (4 * len(sample)) for sample in (a, b)))
    ratio = np.log(a.std(ddof=1) / b.std(ddof=1))
    return ratio - REACH * error, ratio + REACH * error


def check_agreement(ours: np.ndarray, theirs: np.ndarray) -> None:
    for m, i, j in np.ndindex(len(METRICS), len(TIMES), len(VARIANTS)):
        a, b = ours[m, :, i, j], theirs[m, :, i, j]
        where = (
            f"{METRICS[m].__name__} at {TIMES[i]:g} s, compensation {VARIANTS[j]}: "
            f"{a.mean():.5f} sd {a.std():.5f}, independent {b.mean():.5f} sd {b.std():.5f}"
        )
        mean = stats.ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
        assert mean.low < 0 < mean.high, where
        low, high = spread_interval(a, b)
        assert low < 0 < high, where


def check_effect(accuracies: np.ndarray, lost: float, recovered: float) -> None:
    """Drift and its compensation must show, or agreement says nothing."""
    mean = accuracies.mean(axis=0)
    assert mean[0, 0] - mean[-1, 0] > lost
    assert mean[-1, 1] - mean[-1, 0] > recovered


def test_chips_of_the_digits_network_from_the_first_read_to_a_year(inputs_of):
    net, (x, y) = rl.load_network("digits-mlp"), inputs_of("digits", 450)
    ours = simulated_scores(net, x, y, 2000)
    check_agreement(ours, independent_scores(net, x, y, 600))
    check_effect(ours[0], lost=0.006, recovered=0.004)


@pytest.mark.slow
def test_chips_of_the_mnist_network_from_the_first_read_to_a_year(inputs_of):
    net, (x, y) = rl.load_network("mnist-mlp"), inputs_of("mnist", 300)
    ours = simulated_scores(net, x, y, 1000)
    check_agreement(ours, independent_scores(net, x, y, 150))
    check_effect(ours[0], lost=0.002, recovered=0.002)
