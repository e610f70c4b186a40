"""Which compensation keeps a programmed PCM chip accurate for longest?

The same chips are followed from the reference read to one year later under every compensation: one factor a
layer or a column from read-outs, one with exact weights as reference, a factor with offsets that restore mean
outputs, means and spreads put back to the digital network's, and adaptive batch normalisation statistics. The
last three are fitted by each chip, at each time, to training inputs. Differences from global compensation are
paired, chip by chip and input by input; they stand in summary.csv. Batch norms need calibration inputs as
the network was trained on: for networks trained on random crops, ``--set augment=4``.
"""

from reliability import DAY, HOUR, MONTH, WEEK, YEAR, Chip, Curve, Study, devices

study = Study(
    question="Which compensation keeps a programmed PCM chip accurate for longest?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.pcm(), name="pcm"),
    vary={
        "time_s": [1, HOUR, DAY, WEEK, MONTH, YEAR],
        "compensation": ["global", "none", "column", "exact", "global+bias", "matched", "adabs"],
    },
    figure=Curve(x="time_s", hue="compensation", log_x=True, label="Time since reference read"),
    chips=300,
)
