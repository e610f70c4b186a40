"""Designs as combinations of options."""

from dataclasses import dataclass, replace

import pytest

from reliability import Chip, UserError, devices
from reliability.mitigation.cure import Cure
from reliability.mitigation.space import Knob, Option, Space


@dataclass(frozen=True)
class Sigma(Cure):
    """Another programming error."""

    sigma: float = 0.0

    def apply(self, chip, layers=None):
        return replace(chip, device=replace(chip.device, sigma=self.sigma))

    def describe(self):
        return f"sigma {self.sigma:g}"


@dataclass(frozen=True)
class Compensated(Cure):
    """Global drift compensation."""

    def apply(self, chip, layers=None):
        return replace(chip, compensation="global")

    def describe(self):
        return "compensated"


CHIP = Chip(device=devices.gaussian(sigma=0.1))
SIGMAS = Knob("sigma", (Option("none"), Option("0.05", (Sigma(0.05),)), Option("same", (Sigma(0.1),))))
COMPENSATION = Knob("compensation", (Option("none"), Option("global", (Compensated(),))))


def test_every_distinct_combination_once_in_order():
    designs = Space(CHIP, (SIGMAS, COMPENSATION)).designs()
    assert [d.choice for d in designs] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [d.number for d in designs] == [0, 1, 2, 3]
    assert designs[0].chip == CHIP
    assert designs[3].chip.device.sigma == 0.05 and designs[3].chip.compensation == "global"
    assert designs[3].labels == {"sigma": "0.05", "compensation": "global"}
    assert designs[3].describe() == "sigma 0.05, compensation global"
    assert designs[0].describe() == "the chip as it is"


def test_a_space_without_knobs_is_the_chip_alone():
    assert [d.chip for d in Space(CHIP, ()).designs()] == [CHIP]


def test_names_that_stand_twice_and_spaces_too_large_are_refused():
    with pytest.raises(UserError, match="twice"):
        Space(CHIP, (SIGMAS, SIGMAS))
    with pytest.raises(UserError, match="own label"):
        Knob("sigma", (Option("a"), Option("a")))
    with pytest.raises(UserError, match="at least one"):
        Knob("sigma", ())
    many = tuple(Knob(str(i), tuple(Option(str(k)) for k in range(10))) for i in range(6))
    with pytest.raises(UserError, match=r"1,000,000 combinations"):
        Space(CHIP, many)
