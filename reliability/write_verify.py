"""Write-verify: devices that are written again until a read finds them close enough to their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reliability.checks import check, is_number, is_whole


@dataclass(frozen=True)
class WriteVerify:
    """Program-read-compare loops of single devices; off by default.

    Every device of a chosen weight (both of a pair, those of all slices) is written, read, and written again
    until ``|G_read - G_target| <= tolerance G_max`` or ``max_cycles`` writes are done. What the last write
    left stays. Reads see what the cell really conducts at the time of the reference read: its law's own
    noise, correlated variation, a telegraph trap as noise of its variance, and a broken cell, which no write
    changes.

    A weight's first write is that of a chip without write-verify, and its further ones do not depend on which
    other weights are chosen.

    Parameters
    ----------
    share : float
        Of the weights whose devices are verified, those that come first in ``order``; 0 switches it off, 1
        takes all. The reference lines of an offset mapping are verified wherever any weight of the layer is.
    order : str
        ``"magnitude"``: the largest weights first, relative to the weight of the largest conductance.
        ``"random"``: in an order that is the same on all chips. ``FILE.npz``: by scores, the highest first,
        an array (columns, rows) under each layer's name, such as
        :func:`reliability.mitigation.selection.save_scores` writes.
    scope : {"layer", "chip"}
        What ``share`` is of: the weights of each layer, or those of all layers that have this order and
        scope, in one order.
    slices : int or "all"
        How many of a chosen weight's slices are verified, the most significant ones first.
    tolerance : float
        Of the largest conductance.
    max_cycles : int
        Writes of a device at most.
    noise : float
        Standard deviation of a verify read, relative to the largest conductance, beyond what the law itself
        redraws at a read: no loop sees below its device's own noise.
    pulse : {"redraw", "step"}
        What a further write does. ``"redraw"``: the device is programmed anew, by its law, whatever it held.
        ``"step"``: ``G <- G + step (G_target - G_read) + step_sigma G_max xi``.
    step, step_sigma : float
        Of a step: the share of the miss that it makes up for on average, and its standard deviation relative
        to the largest conductance.
    """

    share: float = 0.0
    order: str = "magnitude"
    scope: Literal["layer", "chip"] = "layer"
    slices: int | Literal["all"] = "all"
    tolerance: float = 0.05
    max_cycles: int = 100
    noise: float = 0.0
    pulse: Literal["redraw", "step"] = "redraw"
    step: float = 0.3
    step_sigma: float = 0.02

    def __post_init__(self) -> None:
        check(is_number(self.share, 0, 1), "verify.share", self.share, "from 0 to 1")
        named = isinstance(self.order, str) and (
            self.order in ("magnitude", "random") or self.order.endswith(".npz")
        )
        check(named, "verify.order", self.order, '"magnitude", "random" or FILE.npz')
        check(self.scope in ("layer", "chip"), "verify.scope", self.scope, '"layer" or "chip"')
        good = self.slices == "all" or is_whole(self.slices, 1, 16)
        check(good, "verify.slices", self.slices, 'a whole number from 1 to 16, or "all"')
        good = is_number(self.tolerance, 1e-6, 10)
        check(good, "verify.tolerance", self.tolerance, "from 1e-6 to 10 (of g_max_us)")
        good = is_whole(self.max_cycles, 1, 1 << 20)
        check(good, "verify.max_cycles", self.max_cycles, "a whole number from 1 to 1048576")
        for name in ("noise", "step_sigma"):
            value = getattr(self, name)
            check(is_number(value, 0, 10), f"verify.{name}", value, "from 0 to 10 (of g_max_us)")
        check(self.pulse in ("redraw", "step"), "verify.pulse", self.pulse, '"redraw" or "step"')
        good = is_number(self.step, 0, 2) and self.step > 0
        check(good, "verify.step", self.step, "above 0 and at most 2")

    @property
    def is_on(self) -> bool:
        """Whether any weight is verified."""
        return self.share > 0

    def describe(self) -> str:
        """What is verified and how, in words."""
        of = "each layer's" if self.scope == "layer" else "the chip's"
        first = "scores" if self.order.endswith(".npz") else self.order
        which = "all weights" if self.share == 1 else f"{self.share:.3%} of {of} weights, first by {first},"
        if self.slices != "all":
            which += f" in the first {self.slices} slice{'s' if self.slices > 1 else ''}"
        noise = f", reads of {self.noise:g} G_max noise beyond the law's own" if self.noise else ""
        further = (
            "each programmed anew"
            if self.pulse == "redraw"
            else f"each making up for {self.step:g} of the miss with an error of {self.step_sigma:g} G_max"
        )
        return (
            f"write-verify: {which} written until read within {self.tolerance:g} G_max, at most "
            f"{self.max_cycles} times, {further}{noise}"
        )
