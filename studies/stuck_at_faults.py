"""How many stuck cells can a network bear, and which kind is worse?"""

from reliability import Chip, Curve, Study, devices

study = Study(
    question="How many stuck cells can a network bear, and which kind is worse?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.gaussian(sigma=0.02)),
    vary={
        "faults.stuck_low": [0.0, 0.0025, 0.005, 0.01, 0.0175, 0.03, 0.05],
        "faults.stuck_high": [0.0, 0.0904],
    },
    figure=Curve(
        x="faults.stuck_low",
        hue="faults.stuck_high",
        label="Cells stuck at low resistance (probability)",
        names={"0.0": "none stuck at high", "0.0904": "9.04 % stuck at high"},
    ),
)
