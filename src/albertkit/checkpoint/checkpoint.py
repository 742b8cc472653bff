"""The checkpoint folder: the one thing that crosses stages, in memory and on disk.

On disk it is Hugging Face's layout (config.json, model.safetensors, tokenizer files, README.md),
which transformers opens as it is. A model that transformers cannot express has `model_type:
albertkit`, its weights in `albertkit.safetensors` and another prefix before every name:
transformers then finds no weights and refuses, instead of running random ones. No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from albertkit.checkpoint.families._configs import read, write
from albertkit.checkpoint.families._head_configs import read_head, write_head
from albertkit.checkpoint.formats.safetensors_file import read_tensors, write_tensors
from albertkit.checkpoint.hf_names import check_accounts, huggingface_names, own_names, rename
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError
from albertkit.files import atomic_folder, strict_json
from albertkit.tasks.head import TaskHead

if TYPE_CHECKING:
    from albertkit.text.tokenizer import Tokenizer

CONFIG_FILE = "config.json"
HUGGINGFACE_WEIGHTS = "model.safetensors"
OWN_WEIGHTS = "albertkit.safetensors"
TOKENIZER_FILES = ("spiece.model", "vocab.txt", "tokenizer.json")
SPECIAL_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")


@dataclass
class Checkpoint:
    """A model as numbers: config, tensors under our names in float32, tokenizer.

    The body is always there; pooler, masked-LM head and sentence-order head are there whole or
    not at all (English files of the hub have no sentence-order head). A fine-tuned checkpoint
    has the head of its task too. Tensors may be views of files; treat them as read-only.

    Raises:
        CheckpointError: a tensor is missing, left over, or of another shape.
    """

    config: AlbertConfig
    tensors: dict[str, np.ndarray]
    tokenizer: Tokenizer | None = None
    ignored: dict[str, str] = field(default_factory=dict)  # key or tensor of the source: reason
    special_ids: dict[str, int] = field(default_factory=dict)  # for a folder without tokenizer
    head: TaskHead | None = None

    def __post_init__(self) -> None:
        if not self.has_masked_lm:  # then nothing is known of that head
            eps = self.config.layer_norm_eps
            self.config = replace(self.config, head_layer_norm_eps=eps, tied_decoder=True)
        check_accounts(self.config, self.tensors, self.head)

    @property
    def fits_huggingface(self) -> list[str]:
        """Why transformers cannot be this model; an empty list says that it can."""
        return self.config.fits_huggingface + (self.head.fits_huggingface if self.head else [])

    def _has(self, part: str) -> bool:
        return any(name.startswith(part) for name in self.tensors)

    @property
    def has_pooler(self) -> bool:
        """Whether rows have a pooled vector."""
        return self._has("albert.pooler.")

    @property
    def has_masked_lm(self) -> bool:
        """Whether masked words can be predicted."""
        return self._has("masked_lm.")

    @property
    def has_sentence_order(self) -> bool:
        """Whether the order of two segments can be judged."""
        return self._has("sentence_order.")

    @classmethod
    def load(cls, folder: Path | str, *, tokenizer: bool = True) -> Checkpoint:
        """Read a checkpoint folder, ours or transformers'.

        Args:
            folder: holds config.json and model.safetensors or albertkit.safetensors.
            tokenizer: also open the tokenizer, if its files are there.

        Raises:
            CheckpointError: a file is missing or damaged, or config and tensors do not fit.
            ConfigError: config.json describes no ALBERT.
            VocabularyError: the tokenizer does not fit the config.
        """
        folder = Path(folder)
        if not folder.is_dir() or not (folder / CONFIG_FILE).is_file():
            raise CheckpointError(
                "This is no checkpoint folder.",
                expected=f"a folder with {CONFIG_FILE}",
                found="no such folder" if not folder.is_dir() else f"no {CONFIG_FILE} in it",
                where=folder,
                fix="check the path",
            )
        try:
            values = strict_json(folder / CONFIG_FILE)
            source = read(values)
            assert isinstance(values, Mapping)
            own = source.spelling == "albertkit"
            path = find_weights(folder, own)
            found = read_tensors(path)
            head = read_head(values, found)
        except ConfigError as error:
            raise _at(error, folder / CONFIG_FILE) from error
        try:
            renamed = rename(found, source.config, head, own=own)
            ignored = {**source.ignored, **renamed.ignored}
            loaded = cls(source.config, renamed.tensors, ignored=ignored, head=head)
        except CheckpointError as error:
            raise _at(error, path) from error
        loaded.special_ids = {
            name: values[name] for name in SPECIAL_IDS if type(values.get(name)) is int
        }
        if tokenizer and any((folder / name).exists() for name in TOKENIZER_FILES):
            loaded.tokenizer = _open_tokenizer(folder, source.config)
        return loaded

    def save(
        self,
        folder: Path | str,
        model_card: str | None = None,
        *,
        replace: bool = False,
        dtype: str = "float32",
    ) -> None:
        """Write a checkpoint folder whole or not at all.

        Args:
            folder: the place; must be free unless `replace`.
            model_card: text of README.md.
            replace: put it in the place of what is there.
            dtype: float32, float16 or bfloat16; for fp16 and bf16 the numbers are rounded.

        Raises:
            OutputError: the place is taken or cannot be written.
            VocabularyError: the tokenizer does not fit the config.
        """
        with atomic_folder(Path(folder), replace=replace) as temporary:
            self.fill(temporary, model_card, dtype=dtype)

    def fill(self, folder: Path, model_card: str | None = None, *, dtype: str = "float32") -> None:
        """Write the files of `save` into an empty folder that somebody else brings into place."""
        if self.tokenizer is not None:
            from albertkit.text.vocabulary import check_fits

            check_fits(self.tokenizer, self.config)
        own = bool(self.fits_huggingface)
        names = (
            own_names(self.config, self.head)
            if own
            else huggingface_names(self.config, self.head, renumber=True)
        )
        tensors = {names[name]: tensor for name, tensor in self.tensors.items()}
        if not own and "predictions.decoder.weight" in tensors:  # untied: the bias is there, too
            tensors["predictions.decoder.bias"] = tensors["predictions.bias"]
        if not own and not (self.has_masked_lm or self.has_sentence_order or self.head):
            tensors = {name.removeprefix("albert."): x for name, x in tensors.items()}
        text = json.dumps(self._config_json(own, dtype), indent=2, sort_keys=True) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
        write_tensors(folder / (OWN_WEIGHTS if own else HUGGINGFACE_WEIGHTS), tensors, dtype)
        if self.tokenizer is not None:
            self.tokenizer.save(folder)
        if model_card is not None:
            (folder / "README.md").write_text(model_card, encoding="utf-8")

    def _config_json(self, own: bool, dtype: str) -> dict[str, Any]:
        """Our config with what transformers wants to know beside it."""
        values = {**write(self.config, own=own), **write_head(self.head, own=own)}
        if own:
            return values
        ids: dict[str, int | None] = {name: self.special_ids.get(name) for name in SPECIAL_IDS}
        if self.tokenizer is not None:
            known = (self.tokenizer.pad_id, self.tokenizer.cls_id, self.tokenizer.sep_id)
            ids = dict(zip(SPECIAL_IDS, known, strict=True))
        if self.head is not None:
            return {**values, **ids, "dtype": dtype}
        kind = "AlbertForMaskedLM" if self.has_masked_lm else "AlbertModel"
        if self.has_sentence_order:
            kind = "AlbertForPreTraining"
        return {**values, **ids, "architectures": [kind], "dtype": dtype}


def _at(error: CheckpointError | ConfigError, path: Path) -> CheckpointError | ConfigError:
    """The same error with the file it is about."""
    facts = error.facts
    return type(error)(
        error.what,
        expected=facts.get("expected"),
        found=facts.get("found"),
        where=path,
        fix=facts.get("to do"),
    )


def _open_tokenizer(folder: Path, config: AlbertConfig) -> Tokenizer:
    from albertkit.text.tokenizer import Tokenizer
    from albertkit.text.vocabulary import check_fits

    tokenizer = Tokenizer.load(folder)
    check_fits(tokenizer, config)
    return tokenizer


def find_weights(folder: Path, own: bool) -> Path:
    """The weights file of a folder, or an error that says what lies there instead."""
    path = folder / (OWN_WEIGHTS if own else HUGGINGFACE_WEIGHTS)
    if not path.is_file():
        there = sorted(x.name for x in folder.iterdir() if x.suffix in (".safetensors", ".bin"))
        raise CheckpointError(
            "The folder holds no weights that can be read.",
            expected=path.name,
            found=", ".join(there) or "no weights file",
            where=folder,
            fix="save the model as one safetensors file",
        )
    return path
