"""How much wire resistance can an array bear, and how tall may it be?"""

from reliability import Chip, Curve, Study, Tile, Wires, devices

study = Study(
    question="How much wire resistance can an array bear, and how tall may it be?",
    network="digits-mlp",
    dataset="digits",
    # Cells of up to 100 microsiemens, as those of many RRAM, draw enough current for wires to matter.
    chip=Chip(
        device=devices.gaussian(g_max_us=100.0, g_min_us=10.0, sigma=0.02),
        tile=Tile(rows=64, columns=64, wires=Wires()),
    ),
    vary={
        "tile.wires.word_ohm": [0.3, 1.0, 2.0, 5.0, 10.0, 20.0],
        "tile.rows": [16, 32, 64],
    },
    figure=Curve(
        x="tile.wires.word_ohm",
        hue="tile.rows",
        log_x=True,
        label="Resistance of a wire segment (ohm)",
        names={"16": "16 rows", "32": "32 rows", "64": "64 rows"},
    ),
    chips=300,
)
