"""Tensors that are fitted once and never trained, as a module: they travel in a checkpoint and move to a device."""

from typing import Self

from torch import Tensor, nn


class FixedTensors(nn.Module):
    """A module whose annotated tensors are buffers, given to the constructor in the order of the annotations.

    Raises TypeError if one is missing or unknown.
    """

    def __init__(self, *tensors: Tensor, **named: Tensor):
        super().__init__()
        names = [name for name, kind in type(self).__annotations__.items() if kind is Tensor]
        buffers = dict(zip(names, tensors, strict=False)) | named
        if len(tensors) > len(names) or buffers.keys() != set(names):
            raise TypeError(f"{type(self).__name__} takes the tensors {', '.join(names)}; got {', '.join(buffers)}")
        for name in names:
            self.register_buffer(name, buffers[name])

    def with_tensors(self, **changed: Tensor) -> Self:
        """The same with some of the tensors replaced; this one stays as it is."""
        return type(self)(**(self.state_dict() | changed))
