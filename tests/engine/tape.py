"""A stand-in for CUDA graphs on the CPU: it notes every call of a step with its tensors, and repeats the calls.

Like a graph, it repeats what it saw: a Python number, a branch or a fresh tensor of the captured call stays as it was.
Unlike a graph, it notices at once when a step asks the host for a value.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from engine import capture

TO_HOST = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__", "nonzero"}
TO_HOST_CALLS = {"item", "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique"}


class HostSync(RuntimeError):
    """A captured step asked the host for a value."""


class NoHost(TorchFunctionMode):
    """Refuses what Python asks of a tensor's values; on a CPU some of it never reaches the dispatcher."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        kwargs = kwargs or {}
        moves = name == "to" and any(str(value) == "cpu" for value in (*args[1:], *kwargs.values()))
        if name in TO_HOST or moves:
            raise HostSync(name)
        return func(*args, **kwargs)


class Notes(TorchDispatchMode):
    """Notes (call, arguments, results) of everything that is computed, and refuses to ask the host."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        counted = name in ("index", "index_put_") and any(index.dtype == torch.bool for index in tensors(args[1]))
        if name in TO_HOST_CALLS or counted:
            raise HostSync(name)
        results = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, results))
        return results


def tensors(tree):
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def storages(tree):
    return {tensor.untyped_storage()._cdata for tensor in tensors(tree)}


class Tape:
    """In place of ``capture.Graph``."""

    warm_up = capture.WARM_UP

    def __init__(self, step):
        for _ in range(self.warm_up):
            step()
        with NoHost(), Notes() as notes:
            step()
        self.calls = [call for call in notes.calls if self._computes(*call)]
        self.replays = 0

    @staticmethod
    def _computes(func, args, kwargs, results):
        """Whether a call writes: in place, into ``out``, or a new tensor, rather than being a view."""
        return func._schema.is_mutable or not storages(results) <= storages((args, kwargs))

    def replay(self):
        self.replays += 1
        for func, args, kwargs, results in self.calls:
            again = func(*args, **kwargs)
            if not func._schema.is_mutable:
                for kept, new in zip(tensors(results), tensors(again), strict=True):
                    kept.copy_(new)
