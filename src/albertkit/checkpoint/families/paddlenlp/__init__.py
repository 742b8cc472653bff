"""PaddleNLP: model_state.pdparams with config.json, or with the nested model_config.json before.

Names and config: names.py. No Paddle is needed; the container formats/pdparams.py decodes the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._config_keys import notes_on
from albertkit.checkpoint.families._express import with_layer_groups, with_projection
from albertkit.checkpoint.families._head_configs import read_head
from albertkit.checkpoint.families._protocol import LoadResult, Loss, Overrides
from albertkit.checkpoint.families.paddlenlp import names as paddle_names
from albertkit.checkpoint.formats import pdparams
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.checkpoint.hf_names import counts_up
from albertkit.checkpoint.mapping import expand, export_tensors, import_tensors
from albertkit.config import AlbertConfig
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError
from albertkit.tasks.head import TaskHead
from albertkit.text.tokenizer_settings import read_settings

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint

TITLE = "PaddlePaddle/PaddleNLP"
WRITES = True
WEIGHTS = "model_state.pdparams"
CONFIG = "config.json"
OLD_CONFIG = "model_config.json"
_DECODER = "predictions.decoder.weight"
_POSITIONS = "transformer.embeddings.position_ids"


def detect(path: Path) -> Path | None:
    """A .pdparams file with an ALBERT's names, or a folder with one."""
    if path.is_file():
        return path if path.suffix == ".pdparams" and _is_mine(path) else None
    if not path.is_dir():
        return None
    there = [x for x in sorted(path.glob("*.pdparams")) if x.is_file() and _is_mine(x)]
    chosen = [x for x in there if x.name == WEIGHTS] or there
    return chosen[0] if len(chosen) == 1 else None


def _is_mine(path: Path) -> bool:
    """Whether the names are an ALBERT's; a file whose names cannot be read is claimed."""
    try:
        names = pdparams.list_names(path)
    except AlbertkitError:
        return True
    known = set(paddle_names.full(dict.fromkeys(names)).values())
    return paddle_names.WORDS in known


def read(found: Path, overrides: Overrides) -> LoadResult:
    """Read a file of weights and the config beside it."""
    file = _beside.find_config(found.parent, [CONFIG, OLD_CONFIG, f"{found.stem}.json"], overrides)
    values = paddle_names.flat(_beside.read_values(file))
    weights = pdparams.read_weights(found)
    full = paddle_names.full(weights.tensors)
    source = {full[name]: tensor for name, tensor in weights.tensors.items()}
    back = {theirs: name for name, theirs in full.items()}
    given = dict(overrides.values)
    tied = given.pop("tied_decoder", None)
    equal = _is_tied(source)
    problems = weights.problems + notes_on(values)
    if not equal and tied is None:
        problems.append("the masked-LM decoder is not the word table: it is kept as it is")
    try:
        config = paddle_names.read_config(values, tied=equal if tied is None else tied)
        head = _head(values, source, overrides.head)
        _beside.check_head(head, overrides.head)
    except ConfigError as error:
        raise error.at(file) from error
    config = _beside.with_values(config, given)
    plain = expand(paddle_names.RULES, config, head)
    tensors, report = import_tensors(
        source,
        plain,
        config,
        ignore=_ignored(source, config),
    )
    if head is not None and head.kind == "span":
        problems.append(
            "PaddleNLP's question answering gives the start logits as end logits, too (a defect); "
            "here the end logits are those of the weights"
        )
    report.loaded = {back[theirs]: use for theirs, use in report.loaded.items()}
    report.ignored = {back[theirs]: why for theirs, why in report.ignored.items()}
    report.ignored |= weights.ignored
    tokenizer = _beside.find_tokenizer(found.parent, problems)
    decided = {"head_layer_norm_eps": "PaddleNLP", "tied_decoder": "decoder and word table"}
    return LoadResult(
        config=config,
        tensors=tensors,
        report=report,
        head=head,
        provenance=_beside.provenance(
            config, {key: key for key in values}, file, overrides, decided
        ),
        tokenizer=tokenizer,
        lower_case=_lower_case(tokenizer, problems),
        special_ids=_special_ids(values, tokenizer, config.vocab_size, problems),
        check_ids=_is_chinese(tokenizer),
        source_tensors=weights.kinds,
        problems=problems,
        files=[file, found],
    )


def _is_tied(source: Mapping[str, Array]) -> bool:
    decoder, words = source.get(_DECODER), source.get(paddle_names.WORDS)
    return decoder is None or words is None or np.array_equal(decoder, words, equal_nan=True)


def _head(
    values: Mapping[str, Any], source: Mapping[str, Array], kind: str | None
) -> TaskHead | None:
    """The head of a task; its matrix is the transpose of transformers'."""
    turned = {
        name: source[name].T
        for name in ("classifier.weight", "qa_outputs.weight")
        if name in source
    }
    return read_head(values, turned, kind=kind)


def _ignored(source: Mapping[str, Array], config: AlbertConfig) -> Callable[[str], str | None]:
    """The function that says why a tensor may be left out."""
    unused = frozenset(range(config.num_hidden_groups)) - frozenset(config.attention_blocks)

    def why(name: str) -> str | None:
        if name.endswith("embeddings.position_ids") and counts_up(source[name]):
            return "the numbers 0, 1, 2, ..."
        group = re.match(r"transformer\.encoder\.albert_layer_groups\.(\d{1,9})\.", name)
        if group:
            return "no layer uses this group" if int(group[1]) in unused else None
        original = source.get(paddle_names.COPIES.get(name, ""))
        if original is None:
            return None
        if name == _DECODER:
            copy = np.array_equal(original, source[name], equal_nan=True)
            return "a copy of the word table" if copy else "tied_decoder=true was chosen"
        if not np.array_equal(original, source[name], equal_nan=True):
            raise CheckpointError(
                "The masked-LM head has two biases, and PaddleNLP has one.",
                expected=f"{name} equal to {paddle_names.COPIES[name]}",
                found="other numbers",
                fix="the file was changed or damaged: copy or download it again",
            )
        return f"a copy of {paddle_names.COPIES[name]}"

    return why


def _lower_case(tokenizer: Path | None, problems: list[str]) -> bool | None:
    """True, with a note, where the settings beside a vocabulary without capitals say otherwise."""
    file = None if tokenizer is None else tokenizer / "vocab.txt"
    if file is None or not file.is_file():
        return None
    if read_settings(file.parent).flag("do_lower_case") is False and not _has_capitals(file):
        problems.append(
            "do_lower_case is false although the vocabulary has no capital letter: English words "
            "would become [UNK], so the tokenizer lower-cases"
        )
        return True
    return None


def _has_capitals(file: Path) -> bool:
    """Whether a vocabulary has a word with a capital letter, [CLS] and the like aside."""
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError:
        return True
    words = [line.strip() for line in lines if not line.startswith(b"[")]
    return any(word != word.lower() for word in words)


def _special_ids(
    values: Mapping[str, Any], tokenizer: Path | None, vocab_size: int, problems: list[str]
) -> dict[str, int]:
    """Ids of special pieces; PaddleNLP gives the English ones to Chinese models, too."""
    ids = _beside.special_ids(values)
    if tokenizer is None and vocab_size == 21128 and ids.get("bos_token_id") == 2:
        problems.append("the config says bos 2 and eos 3: in a Chinese vocabulary 101 and 102")
        return {**ids, "bos_token_id": 101, "eos_token_id": 102}
    return ids


def _is_chinese(tokenizer: Path | None) -> bool:
    """Whether the tokenizer beside the weights is a vocab.txt."""
    return tokenizer is not None and (
        tokenizer.suffix == ".txt" or (tokenizer / "vocab.txt").is_file()
    )


def express(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """The equal model that PaddleNLP has: it always projects, and groups as transformers does."""
    checkpoint, notes = with_projection(checkpoint, bias=True)
    checkpoint, more = with_layer_groups(checkpoint, lambda config: config.has_huggingface_groups)
    return checkpoint, notes + more


def losses(checkpoint: Checkpoint) -> list[Loss]:
    """What PaddleNLP cannot hold."""
    config, head = checkpoint.config, checkpoint.head
    reasons = paddle_names.reasons(config)
    if reasons:
        raise CheckpointError(
            "PaddleNLP has no model that computes this.",
            expected="an ALBERT of transformers' kind",
            found="; ".join(reasons),
            fix="convert to albertkit, which holds every ALBERT",
        )
    lost = []
    if checkpoint.has_masked_lm and config.head_layer_norm_eps != paddle_names.HEAD_EPSILON:
        what = (
            f"head_layer_norm_eps={config.head_layer_norm_eps:g}: PaddleNLP takes "
            f"{paddle_names.HEAD_EPSILON:g} for the masked-LM head"
        )
        lost.append(Loss(("head_layer_norm_eps",), what))
    if head is not None and paddle_names.kind_of(head) is None:
        what = f"the head of the task: PaddleNLP has none for {head.kind}"
        lost.append(Loss(("head",), what))
    return lost


def write(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
    """Write config.json and model_state.pdparams."""
    config, head = checkpoint.config, checkpoint.head
    if head is not None and paddle_names.kind_of(head) is None:
        head = None
    tensors = {
        name: tensor
        for name, tensor in checkpoint.tensors.items()
        if head is not None
        or checkpoint.head is None
        or name not in checkpoint.head.shapes(config.hidden_size)
    }
    kind = "AlbertForMaskedLM" if checkpoint.has_masked_lm else "AlbertModel"
    if checkpoint.has_sentence_order:
        kind = "AlbertForPretraining"
    named = export_tensors(tensors, expand(paddle_names.RULES, config, head, renumber=True), config)
    if checkpoint.has_masked_lm:
        for copy, original in paddle_names.COPIES.items():
            named.setdefault(copy, named[original])
    positions = np.arange(config.max_position_embeddings, dtype=np.int64)[None]
    named = {_POSITIONS: positions, **named}
    if kind == "AlbertModel" and head is None:  # a bare body has no prefix
        named = {name.removeprefix("transformer."): tensor for name, tensor in named.items()}
    values = paddle_names.write_config(config, head, kind, _beside.ids_to_write(checkpoint))
    values["add_pooling_layer"] = checkpoint.has_pooler
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    pdparams.write_weights(folder / WEIGHTS, named, dtype)
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.save(folder)
