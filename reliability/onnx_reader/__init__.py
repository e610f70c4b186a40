"""ONNX files, and PyTorch modules through them, as networks.

A file is read in one walk over its nodes (:mod:`~reliability.onnx_reader.reader`). What does not depend on
the input is computed at once (:mod:`~reliability.onnx_reader.constants`): so chains of Shape, Gather and
Concat that an exporter left behind disappear. What only moves numbers (Reshape, Transpose, Slice, Pad, ...)
is done on the positions of the numbers (:mod:`~reliability.onnx_reader.moves`,
:mod:`~reliability.onnx_reader.activation`): so transposes around convolutions cancel, and a flatten in
another order becomes another order of the next layer's columns. What computes becomes a layer
(:mod:`~reliability.onnx_reader.operators`). Everything else is refused in one sentence.
"""

from reliability.onnx_reader.pytorch import from_torch
from reliability.onnx_reader.reader import read_onnx

__all__ = ["from_torch", "read_onnx"]
