"""How long does a programmed PCM chip keep its accuracy?

A trained network is programmed once into phase-change memory, two devices a weight. Each device
then drifts with an exponent of its own and picks up 1/f noise. Every chip is followed from one second
to one year after its reference read, without compensation and with global drift compensation; the
same chips stand under all conditions, so that differences between conditions are paired.
"""

from reliability import DAY, HOUR, MINUTE, MONTH, WEEK, YEAR, Chip, Curve, Study, devices

study = Study(
    question="How long does a programmed PCM chip keep its accuracy?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.pcm(), name="pcm"),
    vary={
        "time_s": [1, MINUTE, HOUR, DAY, WEEK, MONTH, 4 * MONTH, YEAR],
        "compensation": ["none", "global"],
    },
    figure=Curve(x="time_s", hue="compensation", log_x=True, label="Time since reference read"),
    chips=1000,
)
