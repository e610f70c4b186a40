"""What a raw input goes through before a network's first layer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from reliability.errors import UserError


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """What a raw input goes through before the first layer: ``(x * scale - mean) / std``.

    ``mean`` and ``std`` hold one number, or one for each channel (the first axis of an input).
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "scale", float(self.scale))
            for name in ("mean", "std"):
                object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        except (TypeError, ValueError):
            raise UserError(
                "preprocessing needs a number for scale and lists of numbers for mean and std"
            ) from None
        if len(self.mean) != len(self.std) or not self.mean:
            raise UserError("preprocessing needs as many means as standard deviations, at least one")
        if not np.isfinite([self.scale, *self.mean, *self.std]).all() or min(self.std) <= 0:
            raise UserError("preprocessing needs finite numbers and standard deviations above zero")
        if self.scale == 0:
            raise UserError("preprocessing with scale 0 makes all inputs equal")

    @property
    def is_none(self) -> bool:
        """Whether inputs stay as they are."""
        return (self.scale, self.mean, self.std) == (1.0, (0.0,), (1.0,))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Preprocessed inputs, float32, shape of ``x`` (N, ...)."""
        x = np.asarray(x, np.float32) * np.float32(self.scale)
        if self.mean == (0.0,) and self.std == (1.0,):
            return x
        shape = (1, len(self.mean)) + (1,) * (x.ndim - 2)
        mean, std = (np.asarray(v, np.float32).reshape(shape) for v in (self.mean, self.std))
        return (x - mean) / std


PRESETS = {
    "none": Preprocessing(),
    "unit": Preprocessing(scale=1 / 255),
    # The statistics of ImageNet, which many networks for other images use too.
    "imagenet": Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def parse_preprocessing(text: str) -> Preprocessing:
    """Preprocessing by the name of a preset, or in words.

    Parameters
    ----------
    text : str
        ``"none"``, ``"unit"`` (bytes to 0..1), ``"imagenet"``, or for example
        ``"scale=1/255 mean=0.49,0.48,0.45 std=0.2,0.2,0.2"``.

    Raises
    ------
    UserError
        If it is neither.
    """
    if text in PRESETS:
        return PRESETS[text]
    fields: dict[str, tuple[float, ...]] = {}
    for part in text.split():
        name, equals, numbers = part.partition("=")
        try:
            if not equals or name not in ("scale", "mean", "std") or name in fields:
                raise ValueError
            fields[name] = tuple(float(Fraction(number)) for number in numbers.split(","))
            if name == "scale" and len(fields[name]) != 1:
                raise ValueError
        except (ValueError, ZeroDivisionError):
            raise UserError(
                f"preprocessing {text!r} must be {', '.join(PRESETS)}, or numbers in the form "
                f"'scale=1/255 mean=0.5,0.5,0.5 std=0.2,0.2,0.2'"
            ) from None
    scale = fields.pop("scale", (1.0,))[0]
    channels = max((len(values) for values in fields.values()), default=1)
    mean = fields.get("mean", (0.0,) * channels)
    return Preprocessing(scale, mean, fields.get("std", (1.0,) * channels))
