"""What the devices of many chips hold, without any input."""

from __future__ import annotations

from .cache import compiled
from .cells import realise, take
from .compensation import drift_factor, refer
from .layout import EXACT, PLAIN


@compiled(nogil=True)
def realise_chips(plan, work, first_chip, weights):
    """Weights of neighbouring chips at the plan's last time, with one factor a layer against drift.

    Parameters
    ----------
    plan : layout.Plan
    work : layout.Workspace
    first_chip : int
    weights : ndarray of float32, shape (chips, weights of all layers)
        Written, in the layout of the workspace: each layer's slices of lines.
    """
    for i in range(len(weights)):
        for time in range(plan.times):
            for index in range(len(plan.layers)):
                layer = plan.layers[index]
                if layer.analog == 0:
                    continue
                chip = first_chip + i
                total = realise(plan, work, index, time, time == 0, plan.reads_out, False, chip, chip)
                if plan.reference and time == 0:
                    refer(plan, work, index, total)
                    continue
                size = layer.slices * layer.slice_step
                held = work.weights[layer.weights_at : layer.weights_at + size]
                own = weights[i, layer.weights_at : layer.weights_at + size]
                take(own, held)
                kind = plan.compensated[0]
                if kind != PLAIN:
                    factor = drift_factor(plan.exact[index] if kind == EXACT else work.readout[index], total)
                    for j in range(size):
                        own[j] *= factor
