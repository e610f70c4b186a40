"""Which effect of a chip costs what?

Each effect alone says what the chip would lose if nothing else were wrong. All effects but one say what is
won when that one is cured and the others stay. Both are compared on the same chips and inputs. Effects that
hide each other, or that only hurt together, show in the difference of the two.
"""

from reliability import ADC, DAC, DAY, Chip, Costs, Faults, Study, Telegraph, Tile, Variation, Wires, devices

study = Study(
    question="Which effect of a chip costs what?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(
        device=devices.pcm(),
        tile=Tile(rows=64, columns=64, dac=DAC(bits=8), adc=ADC(bits=6), wires=Wires(word_ohm=10.0)),
        telegraph=Telegraph(amplitude=0.2, correlation_s=1.0),
        faults=Faults(stuck_low=0.0025, stuck_high=0.01),
        variation=Variation(die=0.05, tile=0.05, field=0.1),
        compensation="global",
    ),
    vary={"effects": ["each"]},
    time_s=DAY,
    figure=Costs(
        names={
            "programming": "programming error",
            "read_1f": "1/f noise",
            "telegraph": "telegraph noise",
            "faults": "stuck cells",
            "variation": "correlated variation",
            "dac": "DAC",
            "adc": "ADC",
        }
    ),
)
