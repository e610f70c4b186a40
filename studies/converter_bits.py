"""How many bits do the converters behind a crossbar need?"""

from reliability import ADC, DAC, Chip, Curve, Study, Tile, devices

study = Study(
    question="How many bits do the converters behind a crossbar need?",
    network="digits-mlp",
    dataset="digits",
    # Tiles as tall as the layer ask most of a converter: the largest sums at the same number of codes.
    chip=Chip(device=devices.gaussian(sigma=0.02), tile=Tile(rows="layer", dac=DAC(bits=8), adc=ADC())),
    vary={"tile.adc.bits": [3, 4, 5, 6, 7, 8, 10]},
    figure=Curve(x="tile.adc.bits", label="Bits of the ADC"),
)
