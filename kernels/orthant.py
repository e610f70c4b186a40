"""Probability that one of several jointly normal values is the largest, and its derivatives.

Genz's separation of variables (J. Comput. Graph. Stat. 1:141, 1992) with a fixed lattice: smooth in mean and
covariance, so that it has exact derivatives, which one backward sweep over each point gives.
"""

from __future__ import annotations

import math

import numpy as np

from .cache import compiled

POINTS = 128
# Rivals so many standard deviations behind win less often than once in 1e8.
_CERTAIN = 5.6
_SMALLEST = 1e-300


@compiled()
def normal_cdf(x):
    """Standard normal distribution function, float64."""
    return 0.5 * math.erfc(-x * 0.7071067811865476)


@compiled()
def _ratio(r, a0, a1, a2, a3, a4, a5, a6, a7, b1, b2, b3, b4, b5, b6, b7):
    top = ((((((a7 * r + a6) * r + a5) * r + a4) * r + a3) * r + a2) * r + a1) * r + a0
    return top / (((((((b7 * r + b6) * r + b5) * r + b4) * r + b3) * r + b2) * r + b1) * r + 1.0)


@compiled()
def normal_quantile(p):
    """Inverse of :func:`normal_cdf` to about 1e-16 relative (M. J. Wichura, Appl. Stat. 37:477, 1988)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(
            0.180625 - q * q,
            3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3,
            1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
            3.3430575583588128105e4, 2.5090809287301226727e3,
            4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
            2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
            5.2264952788528545610e3,
        )  # fmt: skip
    tail = p if q < 0 else 1.0 - p
    r = math.sqrt(-math.log(max(tail, _SMALLEST)))
    if r <= 5.0:
        found = _ratio(
            r - 1.6,
            1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
            3.64784832476320460504, 1.27045825245236838258, 2.41780725177450611770e-1,
            2.27238449892691845833e-2, 7.74545014278341407640e-4,
            2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1,
            1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
            1.05075007164441684324e-9,
        )  # fmt: skip
    else:
        found = _ratio(
            r - 5.0,
            6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
            2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
            2.71155556874348757815e-5, 2.01033439929228813265e-7,
            5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
            7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
            2.04426310338993978564e-15,
        )  # fmt: skip
    return -found if q < 0 else found


@compiled()
def _factorise(a, n):
    """Lower Cholesky factor in place; a direction without variance gets a tiny one."""
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            if i == j:
                a[i, i] = math.sqrt(max(total, 1e-24))
            else:
                a[i, j] = total / a[j, j]


@compiled()
def _factorise_backward(lower, bar, n):
    """Derivatives by the matrix, in place of those by its Cholesky factor; both in the lower triangle."""
    for i in range(n - 1, -1, -1):
        for j in range(i, -1, -1):
            if i == j:
                bar[i, i] = 0.5 * bar[i, i] / lower[i, i]
                for k in range(i):
                    bar[i, k] -= 2.0 * bar[i, i] * lower[i, k]
            else:
                bar[i, j] /= lower[j, j]
                bar[j, j] -= bar[i, j] * lower[i, j]
                for k in range(j):
                    bar[i, k] -= bar[i, j] * lower[j, k]
                    bar[j, k] -= bar[i, j] * lower[i, k]


@compiled()
def _sweep(mean, lower, n, lattice, derive, mean_bar, lower_bar, work):
    """Probability that all of ``n`` normals are positive, over a lattice, and its derivatives."""
    a, y, e, y_bar = work[0], work[1], work[2], work[3]
    total = 0.0
    for q in range(POINTS):
        product = 1.0
        for i in range(n):
            value = mean[i]
            for j in range(i):
                value += lower[i, j] * y[j]
            a[i] = value / lower[i, i]
            e[i] = max(normal_cdf(a[i]), _SMALLEST)
            product *= e[i]
            # Given that it is positive, the variable is this quantile of what lies above zero.
            if i + 1 < n or derive:
                y[i] = -normal_quantile(lattice[q, i] * e[i])
            y_bar[i] = 0.0
        total += product
        if not derive:
            continue
        for i in range(n - 1, -1, -1):
            bar = product / e[i]
            if y_bar[i] != 0.0:
                bar -= y_bar[i] * lattice[q, i] * 2.5066282746310002 * math.exp(0.5 * y[i] * y[i])
            bar *= 0.3989422804014327 * math.exp(-0.5 * a[i] * a[i]) / lower[i, i]
            mean_bar[i] += bar
            lower_bar[i, i] -= bar * a[i]
            for j in range(i):
                lower_bar[i, j] += bar * y[j]
                y_bar[j] += bar * lower[i, j]
    return total / POINTS


@compiled(allocates=True, nogil=True)
def probability_of_label(mean, covariance, labels, lattice, derive, right, mean_bar, covariance_bar):
    """Probability that the label's logit is the largest, of every input.

    Parameters
    ----------
    mean : ndarray of float64, shape (N, classes)
        Of the logits.
    covariance : ndarray of float64, shape (N, classes, classes)
    labels : ndarray of int64, shape (N,)
    lattice : ndarray of float64, shape (POINTS, classes)
        Points of the unit cube.
    derive : bool
        Whether derivatives are asked for.
    right : ndarray of float64, shape (N,)
        Written.
    mean_bar, covariance_bar : ndarray of float64, shapes of ``mean`` and ``covariance``
        Written if asked for: derivatives of each input's probability.
    """
    classes = mean.shape[1]
    rank = np.empty(classes)
    order = np.empty(classes, np.int64)
    own_mean, own_bar = np.empty(classes), np.empty(classes)
    lower, lower_bar = np.empty((classes, classes)), np.empty((classes, classes))
    work = np.empty((4, classes))
    for x in range(len(mean)):
        label = labels[x]
        n = 0
        certainly_wrong = False
        for k in range(classes):
            if derive:
                for j in range(classes):
                    covariance_bar[x, k, j] = 0.0
                mean_bar[x, k] = 0.0
            if k == label:
                continue
            ahead = mean[x, label] - mean[x, k]
            variance = (
                covariance[x, label, label] + covariance[x, k, k]
                - covariance[x, label, k] - covariance[x, k, label]
            )  # fmt: skip
            score = ahead / math.sqrt(max(variance, 1e-24))
            if variance <= 0.0 and ahead == 0.0:
                # Equal logits go to the lower class, as everywhere.
                score = -math.inf if k < label else math.inf
            if score < -_CERTAIN:
                certainly_wrong = True
            if score < _CERTAIN:
                # Rivals in the order of their scores, the closest first.
                at = n
                while at > 0 and rank[at - 1] > score:
                    rank[at], order[at] = rank[at - 1], order[at - 1]
                    at -= 1
                rank[at], order[at] = score, k
                n += 1
        if certainly_wrong:
            right[x] = 0.0
            continue
        if n == 0:
            right[x] = 1.0
            continue
        for i in range(n):
            a = order[i]
            own_mean[i] = mean[x, label] - mean[x, a]
            own_bar[i] = 0.0
            for j in range(i + 1):
                b = order[j]
                lower[i, j] = (
                    covariance[x, label, label] + covariance[x, a, b]
                    - covariance[x, label, b] - covariance[x, a, label]
                )  # fmt: skip
                lower_bar[i, j] = 0.0
        _factorise(lower, n)
        right[x] = _sweep(own_mean, lower, n, lattice, derive, own_bar, lower_bar, work)
        if not derive:
            continue
        _factorise_backward(lower, lower_bar, n)
        for i in range(n):
            a = order[i]
            mean_bar[x, label] += own_bar[i] / POINTS
            mean_bar[x, a] -= own_bar[i] / POINTS
            for j in range(i + 1):
                b = order[j]
                bar = 0.5 * lower_bar[i, j] / POINTS
                covariance_bar[x, label, label] += 2.0 * bar
                covariance_bar[x, a, b] += bar
                covariance_bar[x, b, a] += bar
                covariance_bar[x, label, b] -= bar
                covariance_bar[x, b, label] -= bar
                covariance_bar[x, a, label] -= bar
                covariance_bar[x, label, a] -= bar
