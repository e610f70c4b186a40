"""Rankings of weights, one global order of them, the smallest budget, and the study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import inputs_of, mlp

import reliability as rl
from reliability.analyses.write_verify_budget import WriteVerifyBudget
from reliability.analysis import Setting
from reliability.crossbar import crossbars_of
from reliability.curvature import second_derivatives
from reliability.devices import gaussian, generic
from reliability.mitigation.selection import rank_weights, save_scores, select, variance_taken
from reliability.mitigation.write_verify import residual_sigma, smallest_budget, with_share
from reliability.verified import chosen_weights
from reliability.write_verify import WriteVerify

VERIFY = WriteVerify(share=1.0, tolerance=0.05)
CHIP = rl.Chip(device=gaussian(sigma=0.15), verify=VERIFY)


@pytest.fixture(scope="module")
def digits():
    return rl.load_network("digits-mlp"), rl.load_dataset("digits"), rl.load_dataset("digits", split="train")


def test_the_gradient_is_what_verifying_a_weight_adds(digits):
    """Against the analytic accuracy with the variance of one weight really taken away."""
    net, _, training = digits
    few = (training.x[:60], training.y[:60])
    scores = rank_weights(net, few, CHIP, "gradient")
    off = with_share(CHIP, 0.0)
    analytic = rl.AnalyticNetwork(net, few, off)
    base = analytic.accuracy
    name = next(iter(scores))
    best = np.unravel_index(np.argsort(-scores[name], axis=None)[[0, 5, 40]], scores[name].shape)
    for place in zip(*best, strict=True):
        other = rl.AnalyticNetwork(net, few, off)
        # A tenth of what is taken away: the slope is that of the present noise.
        other.layers[name].variance[place] -= 0.1 * variance_taken(net, CHIP)[name][place]
        assert other.accuracy - base == pytest.approx(0.1 * scores[name][place], rel=0.1)


def test_the_gradient_can_be_taken_where_some_weights_are_verified(digits, tmp_path):
    net, _, training = digits
    few = (training.x[:60], training.y[:60])
    first = rank_weights(net, few, CHIP, "gradient")
    save_scores(tmp_path / "first.npz", first)
    own = replace(VERIFY, share=0.2, scope="chip", order=str(tmp_path / "first.npz"))
    slopes = rl.AnalyticNetwork(net, few, replace(CHIP, verify=own)).slopes
    again = rank_weights(net, few, CHIP, "gradient", near=0.2)
    for name, taken in variance_taken(net, CHIP).items():
        np.testing.assert_allclose(again[name], -slopes[name].variance * taken, rtol=1e-9)
    with pytest.raises(rl.UserError, match="near = 1"):
        rank_weights(net, few, CHIP, "gradient", near=1)


def test_variance_taken_is_that_of_the_closed_form(digits):
    net = digits[0]
    for name, taken in variance_taken(net, CHIP).items():
        largest = np.abs(crossbars_of(net, CHIP)[name].matrix).max()
        expected = 2 * largest**2 * (0.15**2 - residual_sigma(0.15, 0.05, max_cycles=100) ** 2)
        np.testing.assert_allclose(taken, expected, rtol=0.01)


def test_curvature_is_the_second_derivative_by_the_scaled_weight(digits):
    net, _, training = digits
    few = (training.x[:50], training.y[:50])
    for by, method in (("curvature", "swim"), ("gauss_newton", "gauss-newton")):
        scores = rank_weights(net, few, CHIP, by)
        exact = second_derivatives(net, *few, method)
        for node in net.weighted:
            largest = np.abs(node.layer.weight).max()
            np.testing.assert_allclose(scores[node.name], exact[node.name] * largest**2, rtol=1e-5)


def test_fisher_is_the_mean_square_of_the_losses_derivative():
    net = mlp(5, 4, 3)
    x, y = inputs_of(net, 12)
    scores = rank_weights(net, (x, y), CHIP, "fisher")
    weight = np.float64(net.nodes[-1].layer.weight)
    hidden = np.float64(net.activations(x)[net.nodes[-2].name])
    logits = np.float64(net.forward(x))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(12), y] -= 1
    expected = np.einsum("no,nk->ok", p**2, hidden**2) / 12 * np.abs(weight).max() ** 2
    np.testing.assert_allclose(scores["layer2"], expected, rtol=1e-4)


def test_non_uniform_devices_weigh_curvature_by_their_own_variance(digits):
    """Multiplicative errors: weights of zero cannot gain from being verified."""
    net, _, training = digits
    few = (training.x[:50], training.y[:50])
    chip = rl.Chip(device=generic(sigma=0.3, unit="own"), verify=VERIFY)
    plain, own = (rank_weights(net, few, chip, "curvature", uniform=uniform) for uniform in (True, False))
    name = next(iter(own))
    magnitude = np.abs(crossbars_of(net, chip)[name].matrix)
    ratio = own[name] / np.where(plain[name] > 0, plain[name], np.inf)
    large = magnitude > 0.5 * magnitude.max()
    small = magnitude < 0.05 * magnitude.max()
    assert ratio[large].max() > 50 * np.abs(ratio[small]).max()
    # Of devices that all err alike it is the same order.
    plain, own = (rank_weights(net, few, CHIP, "curvature", uniform=uniform) for uniform in (True, False))
    np.testing.assert_allclose(own[name] / own[name].max(), plain[name] / plain[name].max(), rtol=1e-6)


def test_convolutions_are_ranked_in_the_order_of_their_matrices(inputs_of):
    net = rl.load_network("digits-mlp")
    scores = rank_weights(net, inputs_of("digits", 20), CHIP, "magnitude")
    for name, crossbar in crossbars_of(net, CHIP).items():
        assert scores[name].shape == crossbar.matrix.shape
        assert scores[name].max() == 1


def test_a_bias_on_devices_has_a_gradient_and_no_curvature(digits):
    net, _, training = digits
    few = (training.x[:30], training.y[:30])
    chip = replace(CHIP, mapping=rl.Mapping(bias="devices"))
    scores = rank_weights(net, few, chip, "gradient")
    assert all(scores[name].shape == c.matrix.shape for name, c in crossbars_of(net, chip).items())
    with pytest.raises(rl.UserError, match="holds its bias in devices"):
        rank_weights(net, few, chip, "curvature")


def test_select_and_the_scope_of_the_chip_choose_the_same(digits, tmp_path):
    net, _, training = digits
    scores = rank_weights(net, (training.x[:50], training.y[:50]), CHIP, "curvature")
    save_scores(tmp_path / "scores.npz", scores)
    path = str(tmp_path / "scores.npz")
    shares = select(scores, 0.1)
    whole = replace(CHIP, verify=replace(VERIFY, share=0.1, scope="chip", order=path))
    own = {
        name: rl.LayerChip(verify=replace(VERIFY, share=share, order=path)) for name, share in shares.items()
    }
    by_layer = replace(CHIP, layers=own)
    first, second = (chosen_weights(crossbars_of(net, chip)) for chip in (whole, by_layer))
    assert sum(c.sum() for c in first.values()) == round(0.1 * sum(s.size for s in scores.values()))
    for name, chosen in first.items():
        assert np.array_equal(chosen, second[name])
        assert scores[name][chosen].min() >= max(scores[n][~first[n]].max() for n in scores)
    assert shares[list(shares)[1]] != pytest.approx(0.1)


def test_wrong_requests_are_told(digits, tmp_path):
    net, _, training = digits
    few = (training.x[:5], training.y[:5])
    with pytest.raises(rl.UserError, match="by = 'slope' must be one of"):
        rank_weights(net, few, CHIP, "slope")
    with pytest.raises(rl.UserError, match="no weights to rank"):
        rank_weights(net, few, with_share(CHIP, 0.0))
    with pytest.raises(rl.UserError, match=r"must end in \.npz"):
        save_scores(tmp_path / "scores", {})
    with pytest.raises(rl.UserError, match="share = 2"):
        select({"a": np.ones(3)}, 2)


def test_better_rankings_win_on_the_same_chips(digits, tmp_path):
    net, data, training = digits
    orders = []
    for by in ("gradient", "random"):
        save_scores(tmp_path / f"{by}.npz", rank_weights(net, (training.x[:300], training.y[:300]), CHIP, by))
        orders.append(str(tmp_path / f"{by}.npz"))
    chip = replace(CHIP, verify=replace(VERIFY, share=0.1, scope="chip"))
    trials = rl.simulate(net, data, chip, vary={"verify.order": orders}, chips=60, seed=5)
    means = trials.groupby("verify.order")["accuracy"].mean()
    assert means[orders[0]] > means[orders[1]] + 0.03


def setting_of(digits, **options):
    net, data, training = digits
    return Setting(net, data, CHIP, chips=60, calibration=training, threads=1, **options)


def test_the_smallest_budget_is_decided_on_fresh_chips(digits, tmp_path):
    net, _, training = digits
    save_scores(tmp_path / "s.npz", rank_weights(net, (training.x[:300], training.y[:300]), CHIP, "gradient"))
    chip = replace(CHIP, verify=replace(VERIFY, scope="chip", order=str(tmp_path / "s.npz")))
    found = smallest_budget(replace(setting_of(digits), chip=chip), 0.02, group=0.1)
    table = found.table
    assert found.chip.verify.share == table["share"].iloc[-1] < 1
    tests = table[table["role"] == "certify"]
    assert bool(tests["met"].iloc[-1]) and (tests["high"].iloc[-1] <= 0.02)
    assert list(tests["first_chip"]) == [60 * k for k in range(len(tests))]
    assert list(tests["level"]) == pytest.approx([1 - 0.05 / 2 ** (k + 1) for k in range(len(tests))])
    # Every smaller share failed, one way or the other.
    smaller = table[table["share"] < table["share"].iloc[-1]]
    assert not smaller.groupby("share")["met"].all().any()


def test_no_budget_is_enough_for_an_impossible_drop(digits):
    chip = replace(CHIP, verify=replace(VERIFY, tolerance=0.3))
    found = smallest_budget(replace(setting_of(digits), chip=chip, chips=20), 0.001, group=0.5)
    assert found.chip is None
    assert list(found.table["share"].unique()) == [0.0, 0.5, 1.0]


def test_the_study_answers(digits):
    asked = WriteVerifyBudget(
        rankings=("gradient", "u-curvature", "random"), budgets=(0.1, 0.4), ranking_inputs=200, group=0.25
    )
    answer = asked.answer(setting_of(digits))
    budgets, differences = answer.tables["budgets"], answer.tables["differences"]
    assert len(budgets) == 3 * 4 * 2
    assert (budgets["low"] <= budgets["value"]).all() and (budgets["value"] <= budgets["high"]).all()
    np.testing.assert_allclose(budgets["nwc"], budgets["budget"], atol=0.005)
    mean = differences[(differences["estimand"] == "mean") & (differences["kind"] == "neighbours")]
    last = mean[mean["against"] == "random"]
    assert (last["low"] > 0).all()
    assert set(answer.tables["layers"]["layer"]) == {node.name for node in digits[0].weighted}
    assert max(map(len, answer.text.splitlines())) <= 100
    assert "too few" not in answer.text and "too few" not in answer.draw().axes[1].get_title(loc="left")
    # 40 chips give the 5 % chip no lower end: no band, which would set the axis.
    few = replace(asked, rankings=("gradient",), group=1.0).answer(replace(setting_of(digits), chips=40))
    assert "40 chips are too few for a lower end of the 5 % chip" in few.text
    bad = few.draw().axes[1]
    assert "too few chips for a lower end" in bad.get_title(loc="left")
    values = few.tables["budgets"].query("estimand == 'quantile_05'")["value"]
    assert bad.get_ylim()[0] > 100 * values.min() - 5
    with pytest.raises(rl.UserError, match=r"analysis\.rankings = 'best'"):
        WriteVerifyBudget(rankings=("best",)).answer(setting_of(digits))
    with pytest.raises(rl.UserError, match="training inputs with their labels"):
        asked.answer(replace(setting_of(digits), calibration=None))
