"""Does it matter how fast cells jump, or only how far?

Cells that jump at every read average out over a column's rows and over inputs; cells that stay where they are
during a whole evaluation act like a programming error.
"""

from reliability import Chip, Curve, Study, Telegraph, devices

study = Study(
    question="Does it matter how fast cells jump, or only how far?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.ideal(), telegraph=Telegraph(g_ref_us=25.0, read_interval_s=1e-6)),
    vary={
        "telegraph.amplitude": [0.05, 0.1, 0.2, 0.3, 0.5],
        "telegraph.correlation_s": [1e-9, 30e-6, 1.0],
    },
    figure=Curve(
        x="telegraph.amplitude",
        hue="telegraph.correlation_s",
        label="Jump relative to the conductance, at 25 uS",
        names={"1e-09": "new at every read", "3e-05": "kept for 30 reads", "1.0": "kept by all reads"},
    ),
)
