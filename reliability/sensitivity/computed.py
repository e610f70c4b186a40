"""Measures that no chip is simulated for: derivatives by the variances of layers."""

from __future__ import annotations

import functools

import numpy as np

from reliability.analysis import Setting
from reliability.analytic import AnalyticNetwork
from reliability.crossbar import chip_network, rolled
from reliability.curvature import second_derivatives
from reliability.effects import resolved
from reliability.errors import RunError, UserError
from reliability.layers import Conv2d, Linear
from reliability.moments import check_independent
from reliability.sensitivity.drops import Drops
from reliability.sensitivity.estimate import Estimate, exact
from reliability.sensitivity.measure import DROP, LOSS, Measure
from reliability.sensitivity.question import Question, setting_crossbars


@functools.lru_cache(maxsize=1)
def weight_curvature(setting: Setting) -> dict[str, np.ndarray]:
    """Second derivatives of the loss of the test inputs by every weight, SWIM's recursion, by layer."""
    # Of test inputs, as the accuracy of the other measures is that of test inputs.
    network = chip_network(setting.network, resolved(setting.chip))
    return second_derivatives(network, setting.dataset.x, np.asarray(setting.dataset.y))


def _refuses_moments(question: Question) -> str | None:
    """Why there are no moments of layers."""
    if question.of != "layers":
        return "derivatives by variances are those of layers"
    if question.setting.metric != "top-1":
        return "the analytic network knows the metric top-1 only"
    try:
        for crossbar in setting_crossbars(question.setting).values():
            check_independent(crossbar)
    except UserError as error:
        return str(error)
    return None


def _check_analytic(question: Question) -> str | None:
    """Why there is no analytic network to derive."""
    try:
        _analytic_network(question.setting).check()
    except RunError as error:
        return str(error)
    return None


def _refuses_curvature(question: Question) -> str | None:
    if question.setting.chip.mapping.batch_norm == "folded":
        return "second derivatives are those of the network's own weights: keep the batch norm digital"
    return _refuses_moments(question)


def _analytic(question: Question, drops: Drops) -> Estimate:
    network = _analytic_network(question.setting)
    table = network.layer_table().set_index("layer")["slope"]
    values = [-sum(table[layer] for layer in layers) for layers in question.groups.values()]
    return exact(question.groups, values, network.check().describe())


def _curvature(question: Question, drops: Drops) -> Estimate:
    setting = question.setting
    network, second = chip_network(setting.network, resolved(setting.chip)), weight_curvature(setting)
    layers = {node.name: node.layer for node in network.weighted}
    noisy = _analytic_network(setting).layers
    values = []
    for members in question.groups.values():
        total = 0.0
        for name in members:
            layer, own = layers[name], noisy[name]
            assert isinstance(layer, Linear | Conv2d)
            variance = rolled(own.variance, layer, own.crossbar.source)
            total += 0.5 * float((variance * second[name]).sum())
        values.append(total)
    return exact(question.groups, values, "SWIM recursion")


@functools.lru_cache(maxsize=1)
def _analytic_network(setting: Setting) -> AnalyticNetwork:
    return AnalyticNetwork(
        setting.network,
        setting.dataset,
        setting.chip,
        time_s=setting.time_s,
        calibration=setting.calibration,
        threads=setting.threads,
    )


COMPUTED: dict[str, Measure] = {
    "analytic": Measure(
        "what a group's variances cost at the margin: -d accuracy / d ln variance",
        DROP,
        _analytic,
        refuses=_refuses_moments,
        check=_check_analytic,
    ),
    "curvature": Measure(
        "half the second derivatives of the loss times the variances, SWIM's recursion",
        LOSS,
        _curvature,
        refuses=_refuses_curvature,
    ),
}
