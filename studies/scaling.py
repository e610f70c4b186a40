"""How are weights best scaled to conductances, and converters to what they see?

The largest weight that a conductance stands for is a percentile of the magnitudes of a layer's weights, or of
each column's; what lies beyond is clipped, and all other weights stand on larger conductances. The ranges of
converters end at a percentile of what they see on training inputs. All combinations are compared on the same
chips and test inputs. Marked is the setting that a chip's designer would find, layer by layer, from training
inputs alone: clipping by the analytic network's accuracy, ranges by the error of each layer's outputs.
"""

from reliability import ADC, DAC, Chip, Study, Tile, devices
from reliability.analyses.scaling import Scales

study = Study(
    question="How are weights best scaled to conductances, and converters to what they see?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.1), tile=Tile(rows=64, dac=DAC(bits=6), adc=ADC(bits=5))),
    chips=300,
    analysis=Scales(),
)
