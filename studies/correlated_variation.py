"""Is variation that neighbouring cells share better or worse than the same variation cell by cell?"""

from reliability import Chip, Curve, Study, Tile, Variation, devices

study = Study(
    question="Is variation that neighbouring cells share better or worse than the same cell by cell?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.ideal(), tile=Tile(rows=64, columns=64), variation=Variation()),
    vary={
        "variation.field_length": [0.1, 1.0, 3.0, 10.0, 30.0, 100.0],
        "variation.field": [0.1, 0.2, 0.3],
    },
    figure=Curve(
        x="variation.field_length",
        hue="variation.field",
        log_x=True,
        label="Correlation length (cells)",
        names={"0.1": "10 % of G", "0.2": "20 % of G", "0.3": "30 % of G"},
    ),
)
