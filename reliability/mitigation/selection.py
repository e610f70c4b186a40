"""Which weights to verify first: rankings from training inputs, and one global order of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from reliability.analytic import AnalyticNetwork
from reliability.chip import Chip
from reliability.crossbar import Crossbar, mapped_network
from reliability.curvature import Method, second_derivatives
from reliability.datasets import Dataset, as_dataset
from reliability.derivatives import Own, chunks, cross_entropy, logits_node, pull_back
from reliability.effects import resolved
from reliability.errors import UserError
from reliability.lowering import unrolled
from reliability.mapping import weight_max
from reliability.moments import weight_moments
from reliability.network import Network
from reliability.npz import write_npz
from reliability.propagation.dense import LayerSlopes
from reliability.training_inputs import Calibration
from reliability.verified import random_scores, verified_crossbars
from reliability.write_verify import WriteVerify

Ranking = Literal["gradient", "curvature", "gauss_newton", "fisher", "magnitude", "random"]
_METHODS: dict[str, Method] = {"curvature": "swim", "gauss_newton": "gauss-newton"}


def rank_weights(
    network: Network,
    inputs: Dataset | tuple[Any, Any],
    chip: Chip,
    by: Ranking = "gradient",
    *,
    time_s: float = 0.0,
    uniform: bool = True,
    near: float = 0.0,
    calibration: Calibration | Callable[[], Dataset] | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Scores of the weights of all layers with write-verify; the highest are to be verified first.

    Parameters
    ----------
    network : Network
    inputs : Dataset, or pair of arrays (x, y)
        Training inputs: a ranking that has seen the test inputs says too much of them.
    chip : Chip
        How its weights are verified, it says; the share does not matter but where it is 0.
    by : str
        ``"gradient"``: what a weight's verification adds to the mean accuracy by the analytic network, to
        first order: its derivative by the weight's variance, at the noise that ``near`` says, times the
        variance that is taken away. ``"curvature"``: the second derivative of the loss by the
        recursion of SWIM (Yan, Hu and Shi, DAC 2022, arXiv 2202.08395) with respect to the weight over the
        layer's largest. ``"gauss_newton"``: the exact diagonal in its place. ``"fisher"``: the mean square of
        the loss's first derivative, likewise. ``"magnitude"``: the weight over the layer's largest.
        ``"random"``.
    time_s : float
        Time of the evaluation since the reference read, seconds.
    uniform : bool
        False weighs the second derivatives (and ``"fisher"``) by the variance that verification takes away
        from each weight at that time, in place of the layer's largest weight squared: U-SWIM (arXiv
        2401.05357) for devices whose variance depends on what they hold.
    near : float
        Share of the weights that are verified where ``"gradient"`` takes its derivatives: first it ranks
        at the noise of unverified devices, then again with the best of that ranking verified. Where these
        leave far less accuracy than is wanted, their derivatives are those of another working point. 0
        leaves it at the first ranking.
    calibration : Dataset, arrays or callable, optional
        Training inputs, where converters take their ranges from them.
    threads : int, optional
    seed : int
        Of the random order.

    Returns
    -------
    dict of str to ndarray of float64, shape (columns, rows)
        By layer; rows in the order (y, x, channel), the bias last where devices hold it.

    Raises
    ------
    UserError
        If no layer has write-verify, there is no such ranking, or the analytic network does not know an
        effect of the chip.
    """
    if by not in get_args(Ranking):
        raise UserError(f"by = {by!r} must be one of {', '.join(get_args(Ranking))}")
    chip = resolved(chip)
    crossbars = verified_crossbars(network, chip)
    if not crossbars:
        raise UserError("chip.verify.share is 0 in all layers: there are no weights to rank for write-verify")
    if by == "random":
        return {name: random_scores(name, c.matrix.shape, seed) for name, c in crossbars.items()}
    if by == "magnitude":
        return {name: np.abs(c.matrix) / _largest(c) for name, c in crossbars.items()}
    data = as_dataset("inputs", inputs)
    if by == "gradient":
        if not 0 <= near < 1:
            raise UserError(f"near = {near!r} must be from 0 to below 1")
        gains = variance_taken(network, chip, time_s=time_s, inputs=len(data))

        def scores_at(operating: Chip) -> dict[str, np.ndarray]:
            slopes = AnalyticNetwork(
                network, data, operating, time_s=time_s, calibration=calibration, threads=threads
            ).slopes
            return {name: _gained(slopes[name], own, gains[name]) for name, own in crossbars.items()}

        scores = scores_at(_unverified(chip))
        if near == 0:
            return scores
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "first.npz"
            save_scores(path, scores)
            return scores_at(
                chip.with_verify(lambda own: replace(own, share=near, order=str(path), scope="chip"))
            )
    digital = mapped_network(network, chip)
    x, y = np.asarray(data.x), np.asarray(data.y)
    if by == "fisher":
        curvature = _mean_squares(digital, x, y)
    else:
        curvature = second_derivatives(digital, x, y, _METHODS[by])
    taken = None if uniform else variance_taken(network, chip, time_s=time_s, inputs=len(data))
    found = {}
    for name, crossbar in crossbars.items():
        if crossbar.bias_row:
            raise UserError(
                f"layer {name!r} holds its bias in devices, for which by = {by!r} has no score: rank by "
                f'"gradient", "magnitude" or "random", or compute the bias digitally'
            )
        layer = next(node.layer for node in digital.weighted if node.name == name)
        own = unrolled(cast(Any, replace(cast(Any, layer), weight=curvature[name])), crossbar.source)
        found[name] = own * (_largest(crossbar) ** 2 if taken is None else taken[name])
    return found


def variance_taken(
    network: Network, chip: Chip, *, time_s: float = 0.0, inputs: int = 1
) -> dict[str, np.ndarray]:
    """Variance over chips that verifying a weight takes away from it, by layer, shape (columns, rows)."""
    before = weight_moments(network, _unverified(chip), time_s=time_s, inputs=inputs)
    every = chip.with_verify(lambda own: replace(own, share=1.0, order="magnitude", scope="layer"))
    after = weight_moments(network, every, time_s=time_s, inputs=inputs)
    return {name: own.variance - after[name].variance for name, own in before.items()}


def select(scores: Mapping[str, np.ndarray], share: float) -> dict[str, float]:
    """Shares of each layer's weights among the best of all layers' weights.

    Parameters
    ----------
    scores : mapping of str to ndarray
        From :func:`rank_weights`.
    share : float
        Of all weights.

    Returns
    -------
    dict of str to float
        ``verify.share`` of each layer, for which the scores as ``verify.order`` choose those weights. The
        same weights are chosen by ``verify.scope = "chip"`` with the one share.
    """
    if not 0 <= share <= 1:
        raise UserError(f"share = {share!r} must be from 0 to 1")
    joined = np.concatenate([own.ravel() for own in scores.values()])
    best = np.zeros(len(joined), bool)
    best[np.argsort(-joined, kind="stable")[: math.floor(share * len(joined) + 0.5)]] = True
    ends = np.cumsum([own.size for own in scores.values()])[:-1]
    return {name: float(own.mean()) for name, own in zip(scores, np.split(best, ends), strict=True)}


def save_scores(path: str | Path, scores: Mapping[str, np.ndarray]) -> None:
    """Write scores as an NPZ file, an array a layer under its name, that ``verify.order`` can name.

    Raises
    ------
    UserError
        If the folder does not exist, or the file's name does not end in ``.npz``.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise UserError(f"file of scores {path} must end in .npz")
    arrays = {name: np.asarray(own, np.float64) for name, own in scores.items()}
    write_npz(path, arrays, "file of scores")


def _gained(slopes: LayerSlopes, crossbar: Crossbar, taken: np.ndarray) -> np.ndarray:
    """Accuracy that taking variance away adds, weight by weight."""
    slope = -slopes.variance
    if crossbar.bias_row:
        slope = np.column_stack([slope, -slopes.bias_variance])
    return slope * taken


def _unverified(chip: Chip) -> Chip:
    return chip.with_verify(lambda own: WriteVerify())


def _largest(crossbar: Crossbar) -> float:
    mapping = crossbar.settings.mapping
    assert mapping is not None
    return weight_max(crossbar.matrix, mapping)


def _mean_squares(network: Network, inputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over the inputs of the squared derivative of their cross-entropy by every weight."""
    x = network.prepare(inputs).astype(np.float64)
    found = {node.name: np.zeros(cast(Any, node.layer).weight.shape) for node in network.weighted}
    for part in chunks(network, len(x), functions=1, itemsize=8):
        values = network.activations(x[part])
        logits = logits_node(network)
        # One function an input: its own loss, not its share of the mean.
        slopes = cross_entropy(values[logits], labels[part])[1]
        ones = np.ones((len(slopes), 1))

        def collect(name: str, own: Own, ones: np.ndarray = ones) -> None:
            if "weight" in own.flows and name in found:
                found[name] += own.squares(ones)["weight"] / len(x)

        for _ in pull_back(network, values, logits, slopes[:, None], collect):
            pass
    return found
