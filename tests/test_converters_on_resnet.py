"""What converters cost a real network: ResNet-20 on all test images of CIFAR-10."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from shared_data import WHERE, shared_folder

import reliability as rl
from reliability.preprocessing import parse_preprocessing
from reliability.statistics import wilson

IMAGES = 10_000
DIGITAL = 9173
BITS = [4, 5, 6, 7, 8, 9, 10]


@pytest.fixture(scope="module")
def correct() -> dict[int, int]:
    """Right answers by bits of the ADC: 256 rows, 8-bit DAC, ranges from 256 training images."""
    pytest.importorskip("onnx", reason="ONNX files need the extra [onnx]")
    folder, images = shared_folder("models"), shared_folder("cifar10")
    if folder is None or images is None:
        pytest.skip(WHERE)
    network = rl.load_network(folder / "resnet20_cifar10.onnx")
    network = replace(network, preprocessing=parse_preprocessing("imagenet"))
    test = rl.load_dataset("cifar10", images)
    training = rl.load_dataset("cifar10", images, "train").head(256)
    chip = rl.Chip(device=rl.devices.ideal(), tile=rl.Tile(256, 256, rl.DAC(bits=8), rl.ADC()))
    trials = rl.simulate(network, test, chip, vary={"tile.adc.bits": BITS}, chips=1, calibration=training)
    return dict(zip(trials["tile.adc.bits"], trials["correct"], strict=True))


@pytest.mark.slow
def test_8_bit_converters_cost_less_than_half_a_point(correct):
    assert DIGITAL - correct[8] < 0.005 * IMAGES


@pytest.mark.slow
def test_accuracy_rises_with_the_bits_of_the_adc(correct):
    """Clearly up to 6 bits, and nowhere down by more than the intervals explain."""
    intervals = {bits: wilson(correct[bits], IMAGES) for bits in BITS}
    for fewer, more in pairwise(BITS):
        assert intervals[more].high >= intervals[fewer].low
    for fewer, more in pairwise([4, 5, 6]):
        assert intervals[more].low > intervals[fewer].high
    assert correct[6] < correct[8]
