"""CIFAR-10 from its original files, the python batches or the binary ones. Nothing is unpickled.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reliability.errors import UserError

IMAGES = 10_000
"""Images of one batch."""
PIXELS = 3 * 32 * 32
_LARGEST = 64 * 10**6  # bytes of a file; a batch has 31 million
# A python batch is a pickle of fixed layout: its labels, ten runs of 1,000, end a little before its images.
_LABELS_BEFORE_IMAGES = 20_159
_IMAGES_FROM, _IMAGES_TO = _LABELS_BEFORE_IMAGES, 20_400
_RUN = 1000


def read_cifar10(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 3, 32, 32), and labels of a split.

    ``"test"`` is the test batch; ``"train"`` all training batches that the folder holds.

    Raises
    ------
    UserError
        If the folder has no batch of the split, or a file is not such a batch.
    """
    if not folder.is_dir():
        raise UserError(f"dataset 'cifar10': there is no folder {folder}")
    stems = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    names = [name for stem in stems for name in (stem, f"{stem}.bin")]
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise UserError(f"dataset 'cifar10': folder {folder} has none of {', '.join(names)}")
    batches = [_read_batch(path) for path in paths]
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return x, y


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(
                f"CIFAR file {path} has {path.stat().st_size} bytes: a batch has about 31 million"
            )
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UserError(f"CIFAR file {path} cannot be read: {error.strerror}") from None
    return _binary(path, content) if path.suffix == ".bin" else _python(path, content)


def _binary(path: Path, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label and 3,072 pixels."""
    if content.size == 0 or content.size % (1 + PIXELS):
        raise UserError(f"CIFAR file {path} has {content.size} bytes, not a whole number of {1 + PIXELS}")
    records = content.reshape(-1, 1 + PIXELS)
    return _checked(path, records[:, 1:], records[:, 0])


def _python(path: Path, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The arrays in a pickle of fixed layout, found by the shape of its labels."""
    for start in range(_IMAGES_FROM, _IMAGES_TO):
        if content.size < start + IMAGES * PIXELS:
            break
        labels = _label_runs(content[start - _LABELS_BEFORE_IMAGES : start])
        if labels is not None:
            pixels = content[start : start + IMAGES * PIXELS].reshape(IMAGES, PIXELS)
            return _checked(path, pixels, labels)
    raise UserError(
        f"CIFAR file {path} ({content.size} bytes) is truncated or not a python batch of {IMAGES} images"
    )


def _label_runs(content: np.ndarray) -> np.ndarray | None:
    """Labels as ``(`` + 1,000 times (``K``, label) + ``e``, ten times; None if they are not there."""
    length = 2 * _RUN + 2
    runs = content[: IMAGES // _RUN * length].reshape(-1, length)
    pairs = runs[:, 1:-1].reshape(-1, 2)
    framed = (runs[:, 0] == ord("(")).all() and (runs[:, -1] == ord("e")).all()
    return pairs[:, 1] if framed and (pairs[:, 0] == ord("K")).all() else None


def _checked(path: Path, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if labels.max() > 9:
        raise UserError(f"CIFAR file {path} has label {labels.max()}, allowed are 0 to 9")
    return pixels.reshape(-1, 3, 32, 32), labels
