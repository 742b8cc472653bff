"""Names what is at a path that no family reads.

The path exists but holds something else: a pointer of git-lfs, a folder of transformers' Trainer
with the checkpoints inside, another kind of model. Each gets a sentence of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from albertkit.checkpoint.families._foreign import other_encoder
from albertkit.checkpoint.families._tf.names import prefixes
from albertkit.checkpoint.formats.sharded import names_in
from albertkit.checkpoint.formats.tensor_bundle import read_index
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError
from albertkit.files import LFS_POINTER as _POINTER
from albertkit.files import glimpse_json, is_web_page, strict_json

WEIGHTS = (
    ".safetensors",
    ".index",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".h5",
    ".pdparams",
    ".onnx",
    ".msgpack",
)
_OTHER_FRAMEWORKS = {
    "tf_model.h5": "another model of TensorFlow, or a damaged file",
    "flax_model.msgpack": "transformers' Flax class",
    "rust_model.ot": "rust-bert",
}
_INDEX = ".index.json"
MAX_FILES = 1000  # of a folder that are looked at


def recognise(path: Path) -> AlbertkitError | None:
    """The error that names what is at a path; None if it is not recognised."""
    for check in (
        *(_trainer, _sentence_transformers, _run, _adapter),
        *(_other_model, _other_weights, _no_shards, _framework),
    ):
        error = check(path)
        if error is not None:
            return error
    return None


def _files(path: Path) -> Iterator[Path]:
    """The file, or the files of the folder, in the order of their names."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from [x for x in sorted(path.iterdir())[:MAX_FILES] if x.is_file()]


def pointer(path: Path) -> CheckpointError | None:
    """The error about a file that was not fetched: a git-lfs pointer, a web page, nothing at all.

    Looked at are weights and the config; a tokenizer blocks no weights.
    """
    for file in _files(path):
        if path.is_dir() and not _is_needed(file.name):
            continue
        with file.open("rb") as opened:
            text = opened.read(1024)
        if text.startswith(_POINTER):
            size = re.search(rb"^size (\d{1,15})$", text, re.MULTILINE)
            missing = f"; its {int(size[1]):,} bytes were not downloaded" if size else ""
            return CheckpointError(
                "The file is a git-lfs pointer, not the file itself.",
                expected="the file itself",
                found=f"{file.name}, {len(text)} bytes of text{missing}",
                where=file,
                fix="run `git lfs pull` in the repository, or download the file by itself",
            )
        kind = "an empty file" if not text else "a web page" if is_web_page(text) else None
        if kind is not None:
            return CheckpointError(
                f"The file is {kind}: its download failed.",
                expected="the file itself",
                found=f"{file.name}, {file.stat().st_size:,} bytes",
                where=file,
                fix="download it again, from the address of the file and not of its page",
            )
    return None


def _is_needed(name: str) -> bool:
    return name.endswith((*WEIGHTS, _INDEX)) or name == "config.json" or ".data-0" in name


def _trainer(path: Path) -> CheckpointError | None:
    """A folder of transformers' Trainer: the models are in folders inside."""
    inside = {
        int(x.name.removeprefix("checkpoint-")): x
        for x in (sorted(path.glob("checkpoint-*"))[:MAX_FILES] if path.is_dir() else [])
        if x.is_dir() and re.fullmatch(r"checkpoint-\d{1,12}", x.name)
    }
    if not inside:
        return None
    last = inside[max(inside)]
    return CheckpointError(
        "This is an output folder of transformers' Trainer: the checkpoints are inside.",
        expected="one checkpoint",
        found=", ".join(inside[step].name for step in sorted(inside)[:8]),
        where=path,
        fix=f"give the path of one of them, such as {last}",
    )


def _sentence_transformers(path: Path) -> CheckpointError | None:
    """A folder of sentence-transformers with the model in a folder of its own."""
    if not path.is_dir():
        return None
    inside = [x for x in sorted(path.glob("*_Transformer"))[:MAX_FILES] if x.is_dir()]
    modules = glimpse_json(path / "modules.json")
    for module in modules if isinstance(modules, list) else []:
        place = module.get("path") if isinstance(module, dict) else None
        kind = str(module.get("type", "")) if isinstance(module, dict) else ""
        if kind.endswith(".Transformer") and isinstance(place, str) and place == Path(place).name:
            inside += [path / place] if (path / place).is_dir() and place else []
    if not inside:
        return None
    return CheckpointError(
        "This is a folder of sentence-transformers: the model is in a folder inside.",
        expected="the folder of the transformer",
        found=inside[0].name,
        where=path,
        fix=f"give the path {inside[0]}",
    )


def _run(path: Path) -> CheckpointError | None:
    """A folder of our own pretraining: the model is in a folder inside."""
    if not (path / "recipe.toml").is_file() or not (path / "model" / "config.json").is_file():
        return None
    return CheckpointError(
        "This is the folder of a training run: the model is in a folder inside.",
        expected="the folder of the model",
        found="recipe.toml and model",
        where=path,
        fix=f"give the path {path / 'model'}",
    )


def _adapter(path: Path) -> CheckpointError | None:
    """An adapter of PEFT: the model that it changes is somewhere else."""
    folder = path if path.is_dir() else path.parent
    values = glimpse_json(folder / "adapter_config.json")
    if not isinstance(values, dict):
        return None
    base = str(values.get("base_model_name_or_path"))[:80]
    return CheckpointError(
        "This is an adapter of PEFT (LoRA and others), without the model that it changes.",
        expected="a whole model",
        found=f"adapter_config.json, for the model {base}",
        where=folder,
        fix="merge it once, with peft: PeftModel.from_pretrained(model, folder).merge_and_unload()"
        '.save_pretrained("merged")',
    )


def _other_weights(path: Path) -> CheckpointError | None:
    """Another kind of encoder, by the names of its tensors."""
    for prefix in prefixes(path):
        try:
            error = other_encoder(read_index(prefix)[0])
        except CheckpointError:
            continue
        if error is not None:
            return error.at(prefix)
    for file in _files(path):
        if file.name.endswith(WEIGHTS) and (error := other_encoder(names_in(file) or [])):
            return error.at(file)
    return None


def _kind(values: dict[str, Any]) -> object:
    """What a config says its model is: a model_type, or a class such as "BertForMaskedLM"."""
    if "model_type" in values:
        return values["model_type"]
    classes = values.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else None
    kind = first or values.get("init_class") or values.get("class_name")
    return None if str(kind).lower().startswith(("albert", "none")) else kind


def _other_model(path: Path) -> AlbertkitError | None:
    """Another kind of model, by the `model_type` of its config."""
    folder = path if path.is_dir() else path.parent
    file = folder / "config.json"
    values = glimpse_json(file)
    kind = _kind(values) if isinstance(values, dict) else None
    if kind in ("albert", "albertkit"):
        return None
    if isinstance(kind, str):
        shown = kind.upper() if kind == "bert" else kind
        return ConfigError(
            f"This is a {shown[:40]}, not an ALBERT.",
            expected="model_type albert or albertkit",
            found=f"{kind[:40]!r}",
            where=file,
            fix="give an ALBERT; other architectures are not read",
        )
    if path.is_dir() and file.is_file() and values is None:
        try:
            strict_json(file)
        except ConfigError as error:
            return error if "where" in error.facts else error.at(file)
    return None


def _no_shards(path: Path) -> CheckpointError | None:
    """An index of shards without them."""
    for file in _files(path):
        if not file.name.endswith(_INDEX):
            continue
        values = glimpse_json(file)
        places = values.get("weight_map") if isinstance(values, dict) else None
        named = {str(x) for x in places.values()} if isinstance(places, dict) else set()
        missing = sorted(name for name in named if not (file.parent / Path(name).name).is_file())
        if missing:
            return CheckpointError(
                "The index names files of weights that are not there.",
                expected=f"all {len(named)} files of the index",
                found=f"no {', '.join(missing[:4])}",
                where=file,
                fix="copy or download the missing files into this folder",
            )
    return None


def _framework(path: Path) -> CheckpointError | None:
    """Weights for another framework only."""
    there = [x.name for x in _files(path) if x.name in _OTHER_FRAMEWORKS]
    if not there:
        return None
    return CheckpointError(
        "The folder holds weights for another framework only.",
        expected="model.safetensors or pytorch_model.bin",
        found=", ".join(f"{name} ({_OTHER_FRAMEWORKS[name]})" for name in there),
        where=path,
        fix="save it as PyTorch weights once, with transformers 4: "
        "AlbertModel.from_pretrained(folder, from_tf=True) (or from_flax=True), then "
        'save_pretrained("folder-pt")',
    )
