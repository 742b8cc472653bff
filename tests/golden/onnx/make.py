"""Export tiny ALBERTs to ONNX, each by another exporter: the cases of tests/families/test_onnx.py.

    python make.py CASE...                         # transformers 5.23
    python make.py --transformers FOLDER CASE...   # an old one, unpacked there (pip --no-deps)

Versions are in README.md. Every weight is random: normal(0, 0.3), from the case's number.
"""

from __future__ import annotations

import gzip
import json
import sys
import types
from pathlib import Path

import numpy as np
from sizes import SIZES

HERE = Path(__file__).resolve().parent
CONFIG = {
    **SIZES,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout_prob": 0.0,
}
ALL = ("input_ids", "attention_mask", "token_type_ids")
# Class behind "Albert", exporter ("script" or "dynamo"), opset; then config values and options.
CASES = {
    "script11": ("ForPreTraining", "script", 11, {"hidden_act": "gelu", "attention": "eager"}),
    "script17": ("ForPreTraining", "script", 17, {"layer_norm_eps": 1e-5}),
    "script20_relu": ("Model", "script", 20, {"hidden_act": "relu", "inputs": ALL[:1]}),
    "dynamo20": ("ForPreTraining", "dynamo", 20, {}),
    "dynamo18_groups": ("Model", "dynamo", 18, {"num_hidden_groups": 2, "num_hidden_layers": 3}),
    "dynamo23_untied": (
        "ForMaskedLM",
        "dynamo",
        23,
        {"hidden_act": "gelu", "tie_word_embeddings": False, "num_attention_heads": 2},
    ),
    "dynamo_unoptimized": ("ForTokenClassification", "dynamo", 20, {"optimize": False}),
    "dynamo_beside": ("ForQuestionAnswering", "dynamo", 20, {"beside": True}),
    "dynamo_bfloat16": ("ForMaskedLM", "dynamo", 20, {"half": "bfloat16"}),
    "script_float16": ("ForPreTraining", "script", 14, {"half": "float16", "layer_norm_eps": 1e-5}),
    "onnxruntime": ("ForQuestionAnswering", "script", 17, {"after": "onnxruntime"}),
    "onnxruntime_fused": ("ForPreTraining", "script", 14, {"after": "fused"}),
    "onnxsim": ("ForMultipleChoice", "script", 14, {"after": "onnxsim", "attention": "eager"}),
    "copies": ("ForSequenceClassification", "script", 14, {"after": "copies", "num_labels": 5}),
    "old4_0": ("ForPreTraining", "script", 12, {"inner_group_num": 2}),
    "old2_11": ("ForMaskedLM", "script", 12, {"hidden_act": "gelu", "embedding_size": 8}),
    "old4_30": ("ForSequenceClassification", "script", 13, {"num_labels": 1}),
    "old4_30_fused": ("ForPreTraining", "script", 14, {"after": "fused"}),
}
OPTIONS = ("attention", "inputs", "optimize", "beside", "half", "after")


def pretend_versions(folder: str) -> None:
    """Let an old transformers start: only modeling_albert is used, versions do not matter."""
    import importlib.metadata

    import huggingface_hub
    import torch.optim.lr_scheduler
    import torch.utils._pytree as pytree

    real = importlib.metadata.version
    wanted = {"2.11.0": "0.7.0", "4.0.1": "0.9.4", "4.30.2": "0.13.3"}
    version = Path(folder).name.removeprefix("tf-")
    fake = {"tokenizers": wanted[version], "huggingface-hub": "0.20.0", "huggingface_hub": "0.20.0"}
    importlib.metadata.version = lambda name: fake.get(name) or real(name)
    module = types.ModuleType("pkg_resources")
    module.DistributionNotFound = module.VersionConflict = type("Unused", (Exception,), {})
    module.require = lambda *names: None
    module.get_distribution = lambda name: types.SimpleNamespace(version=fake.get(name, "1"))
    sys.modules["pkg_resources"] = module
    torch.optim.lr_scheduler.SAVE_STATE_WARNING = ""
    pytree._register_pytree_node = lambda *a, **k: None
    for name in ("cached_download", "HfFolder", "Repository", "get_full_repo_name"):
        if not hasattr(huggingface_hub, name):
            setattr(huggingface_hub, name, object)
    sys.path.insert(0, folder)


def make_model(kind: str, number: int, values: dict) -> tuple:
    """A model of random weights, and its config."""
    import torch
    import transformers

    config = transformers.AlbertConfig(**{**CONFIG, **values})
    model = getattr(transformers, f"Albert{kind}")(config).eval()
    source = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.3)
    return model, config


def make(name: str) -> None:
    """One case: model.onnx.gz, expected.npz (inputs, outputs, weights) and case.json."""
    import torch

    kind, exporter, opset, given = CASES[name]
    options = {key: given[key] for key in OPTIONS if key in given}
    values = {key: value for key, value in given.items() if key not in OPTIONS}
    import transformers

    if "attention" in options:
        values["attn_implementation"] = options["attention"]
    number = list(CASES).index(name)
    model, config = make_model(kind, number, values)
    if "half" in options:
        model = model.to(getattr(torch, options["half"]))
    inputs = make_inputs(number, kind == "ForMultipleChoice")
    used = options.get("inputs", ALL)
    old = transformers.__version__ < "3"

    class Named(torch.nn.Module):
        """The model with inputs in a fixed order and outputs as a tuple."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors):
            found = self.model(**dict(zip(used, tensors, strict=True)))
            return found if old else tuple(found.values())

    tensors = tuple(torch.from_numpy(inputs[key]) for key in used)
    with torch.no_grad():
        outputs = Named()(*tensors)
        found = None if old else model(**dict(zip(used, tensors, strict=True)))
    names = [f"out{n}" for n in range(len(outputs))] if found is None else list(found)
    path = HERE / name / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    axes = {key: dict(enumerate(("batch", "choice", "token")[: inputs[key].ndim])) for key in used}
    if inputs["input_ids"].ndim == 2:
        axes = {key: {0: "batch", 1: "token"} for key in used}
    if exporter == "script":
        torch.onnx.export(
            Named(), tensors, path, input_names=list(used), output_names=names,
            dynamic_axes=axes, opset_version=opset, dynamo=False,
        )  # fmt: skip
    else:
        batch, token = torch.export.Dim("batch", max=64), torch.export.Dim("token", max=20)
        torch.onnx.export(
            Named(), tensors, path, input_names=list(used), output_names=names,
            dynamic_shapes=(tuple({0: batch, 1: token} for _ in used),), opset_version=opset,
            dynamo=True, verbose=False, optimize=options.get("optimize", True),
            external_data=options.get("beside", False),
        )  # fmt: skip
    AFTER.get(options.get("after", ""), lambda path: None)(path)
    strip(path, beside=options.get("beside", False))
    results = [x.float().numpy() for x in outputs]
    if options.get("half") != "bfloat16":  # which onnxruntime does not run on a CPU
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        ran = session.run(None, {key: inputs[key] for key in used})
        results = [np.asarray(x, np.float32) for x in ran]
    state = {
        key: x.float().numpy() for key, x in model.state_dict().items() if x.is_floating_point()
    }
    save(path.parent, inputs, used, dict(zip(names, results, strict=True)), state)
    given = {key: getattr(config, key) for key in CONFIG if not key.endswith("prob")}
    given |= {key: getattr(config, key) for key in ("num_hidden_groups", "inner_group_num")}
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    case = {"class": f"Albert{kind}", "opset": opset, "exporter": exporter, "config": given}
    data = gzip.compress(path.read_bytes(), 9, mtime=0)
    path.with_name("model.onnx.gz").write_bytes(data)
    path.unlink()
    text = json.dumps({**case, "versions": versions, "after": options.get("after")}, indent=1)
    (path.parent / "case.json").write_text(text + "\n")


def make_inputs(number: int, choices: bool) -> dict[str, np.ndarray]:
    """Ids, mask and segments of two rows; the second one is shorter."""
    source = np.random.default_rng(number)
    shape = (2, 3, 7) if choices else (2, 7)
    mask = np.ones(shape, np.int64)
    mask[..., -1, -2:] = 0
    ids, types = source.integers(1, 30, shape), source.integers(0, 2, shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def save(folder: Path, inputs: dict, used: tuple, outputs: dict, state: dict) -> None:
    """expected.npz, compressed."""
    arrays = {f"in/{key}": inputs[key] for key in used}
    arrays |= {f"out/{key}": value for key, value in outputs.items()}
    arrays |= {f"state/{key}": value for key, value in state.items()}
    np.savez_compressed(folder / "expected.npz", **arrays)


def strip(path: Path, *, beside: bool) -> None:
    """Leave out what tells where in a source file a node comes from: most of dynamo's files."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for holder in (model.graph, *model.functions):
        for node in holder.node:
            del node.metadata_props[:]
            node.doc_string = ""
        del holder.value_info[:], holder.metadata_props[:]
    for item in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del item.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def onnxruntime_optimized(path: Path) -> None:
    """What onnxruntime writes when it is asked for the graph that it runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def fused(path: Path) -> None:
    """onnxruntime.transformers: Attention, EmbedLayerNormalization, SkipLayerNormalization."""
    from onnxruntime.transformers import optimizer

    model = optimizer.optimize_model(str(path), "bert", num_heads=4, hidden_size=8, opt_level=0)
    model.save_model_to_file(str(path))


def simplified(path: Path) -> None:
    """onnxsim."""
    import onnx
    import onnxsim

    onnx.save(onnxsim.simplify(onnx.load(path))[0], path)


def copied(path: Path) -> None:
    """A copy of every weight for each use, as exporters before torch 1.10 left them."""
    import copy

    import onnx

    model = onnx.load(path)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    same = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity"}
    same = {name: source for name, source in same.items() if source in tensors}
    kept = [node for node in graph.node if node.output[0] not in same]
    seen: set[str] = set()
    for node in kept:
        for place, name in enumerate(node.input):
            source = same.get(name, name)
            if source in seen:
                double = copy.deepcopy(tensors[source])
                double.name = source = str(1000 + len(graph.initializer))
                graph.initializer.append(double)
            seen.update({source} & set(tensors))
            node.input[place] = source
    del graph.node[:]
    graph.node.extend(kept)
    onnx.save(model, path)


AFTER = {
    "onnxruntime": onnxruntime_optimized,
    "fused": fused,
    "onnxsim": simplified,
    "copies": copied,
}

if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["--transformers"]:
        pretend_versions(words[1])
        words = words[2:]
    for word in words:
        make(word)
