"""Which device keeps a network's accuracy, freshly programmed and after a day?

Every device stands for a published measurement or a stated model (data/README.md). Devices of few levels hold
weights of 8 bits in digits, the others hold a weight each; wires, converters and faults are left out, so that
the devices alone are compared.
"""

from reliability import DAY, Chip, Points, Study, devices

study = Study(
    question="Which device keeps a network's accuracy, freshly programmed and after a day?",
    network="digits-mlp",
    dataset="digits",
    chip=Chip(device=devices.pcm(), compensation="global"),
    vary={
        "device": [
            "pcm",
            "hermes_1",
            "hermes_2",
            "projected_pcm",
            "wan_2022",
            "milo_2021",
            "cmo_fine",
            "yan_2022_verified",
            "fefet_28nm",
            "stt_mram_typical",
            "sonos_40nm",
        ],
        "time_s": [1.0, DAY],
    },
    figure=Points(
        y="device",
        hue="time_s",
        names={
            "pcm": "PCM 90 nm",
            "hermes_1": "PCM 14 nm, one device",
            "hermes_2": "PCM 14 nm, two devices",
            "projected_pcm": "PCM, projected (model)",
            "wan_2022": "RRAM HfOx (Wan 2022)",
            "milo_2021": "RRAM HfOx (Milo 2021)",
            "cmo_fine": "RRAM CMO/HfOx",
            "yan_2022_verified": "RRAM, 1 bit, verified",
            "fefet_28nm": "FeFET, 2 bits (model)",
            "stt_mram_typical": "STT-MRAM, 1 bit (model)",
            "sonos_40nm": "SONOS 40 nm",
            "1.0": "1 s",
            "86400.0": "1 day",
        },
    ),
)
