"""One node of an ONNX graph, with typed access to its attributes."""

from __future__ import annotations

from typing import Any, NoReturn

from reliability.errors import UserError

ANY_BATCH = 2147483629
"""Stands for a batch that the file leaves open: a large prime, so that no other length is taken for it."""


def printable(text: str | bytes) -> str:
    """A name from a file, short and without control characters, as a sentence may show it."""
    if isinstance(text, bytes):
        # What is no UTF-8, protobuf leaves as it is.
        text = text.decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


class Operation:
    """A node of an ONNX graph.

    Parameters
    ----------
    node : onnx.NodeProto
    opset : int
        Version of the standard operators that the file uses.
    last : bool
        Whether its result is the network's.
    """

    def __init__(self, node: Any, opset: int, last: bool = False) -> None:
        self.opset, self.last = opset, last
        self.kind = printable(node.op_type)
        self.inputs = list(node.input)
        self.outputs = list(node.output)
        self.name = printable(node.name or next((name for name in self.outputs if name), ""))
        self._attributes = {attribute.name: attribute for attribute in node.attribute}
        self._read: set[str] = set()
        if node.domain not in ("", "ai.onnx"):
            self.fail(f"operators of domain {printable(node.domain)!r} are not supported")
        if len(self._attributes) != len(node.attribute):
            self.fail("an attribute is given twice")
        for attribute in node.attribute:
            if attribute.type in (attribute.GRAPH, attribute.GRAPHS):
                self.fail("control flow (a graph inside a node) is not supported")
            if attribute.ref_attr_name:
                self.fail("attributes that refer to a function's are not supported")

    def fail(self, reason: str) -> NoReturn:
        """Refuse this node in one sentence."""
        raise UserError(f"node {self.name!r} ({self.kind}): {reason.replace(str(ANY_BATCH), 'N')}")

    @property
    def label(self) -> str:
        """The name without what PyTorch's exporter adds: layer1.0.conv1 of /layer1/layer1.0/conv1/Conv."""
        if not self.name.startswith("/"):
            return self.name
        parts = self.name[1:].split("/")
        if len(parts) > 1 and parts[-1] in ("Conv", "Gemm", "MatMul", "BatchNormalization"):
            parts.pop()
        after = [*parts[1:], ""]
        return ".".join(p for p, q in zip(parts, after, strict=True) if not q.startswith(f"{p}."))

    def integer(self, name: str, default: int) -> int:
        """An attribute that is one whole number."""
        attribute = self._attribute(name, "INT")
        return default if attribute is None else int(attribute.i)

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers."""
        attribute = self._attribute(name, "INTS")
        return default if attribute is None else tuple(int(i) for i in attribute.ints)

    def number(self, name: str, default: float) -> float:
        """An attribute that is one number."""
        attribute = self._attribute(name, "FLOAT")
        return default if attribute is None else float(attribute.f)

    def text(self, name: str, default: str) -> str:
        """An attribute that is a word."""
        attribute = self._attribute(name, "STRING")
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def raw(self, name: str) -> Any | None:
        """The attribute itself (onnx.AttributeProto) where it is given."""
        self._read.add(name)
        return self._attributes.get(name)

    def ignore(self, *names: str) -> None:
        """These attributes change nothing in inference."""
        self._read.update(names)

    def check_all_read(self) -> None:
        """Refuse the node if it has an attribute that nobody asked for: it might change the result."""
        for name in self._attributes.keys() - self._read:
            self.fail(f"attribute {printable(name)!r} is not supported")

    def _attribute(self, name: str, kind: str) -> Any | None:
        attribute = self.raw(name)
        if attribute is not None and attribute.type != getattr(attribute, kind):
            self.fail(f"attribute {name!r} is of another type than the standard says")
        return attribute
