"""The errors about pickles of more than tensors: a whole model, quantised or compiled ones."""

from __future__ import annotations

import sys

from albertkit.errors import CheckpointError

_QUANTISED = ("qint8", "quint8", "qint32", "quint4x2", "quint2x4", "_rebuild_qtensor")
_QUANTISING = ("torch.ao.", "torch.quantization.", "torchao.", "bitsandbytes.", "quanto.")
_SAVE = 'torch.save(model.state_dict(), "pytorch_model.bin")'


def refused_object(module: str, name: str) -> CheckpointError:
    """The error about a class or function in a pickle that no file of tensors needs.

    Nothing is looked up: the names say what was saved.
    """
    found = f"{module}.{name}"[:120]
    if name in _QUANTISED or module.startswith(_QUANTISING) or "quantized" in module:
        return CheckpointError(
            "The weights are quantised.",
            expected="weights in float32, float16 or bfloat16",
            found=found,
            fix=f"save the model before it is quantised: {_SAVE}",
        )
    if module.startswith("__torch__"):
        return CheckpointError(
            "The file is a TorchScript program, not a state dict.",
            expected="tensors by name",
            found=found,
            fix=f"load it with torch.jit.load, and save its tensors: {_SAVE}",
        )
    foreign = module.split(".")[0] not in sys.stdlib_module_names or module == "__main__"
    if foreign and name[:1].isupper():
        return CheckpointError(
            "The pickle holds a whole Python object, not only tensors, and is not opened.",
            expected="a state dict: tensors by name",
            found=f"an object of the class {found}",
            fix=f"where that class is known, load it with torch.load and save its tensors: {_SAVE}",
        )
    return CheckpointError(
        "The pickle asks for more than arrays, and is not opened.",
        expected="arrays, numbers and names",
        found=found,
        fix="get the model as a safetensors file from a source you trust",
    )
