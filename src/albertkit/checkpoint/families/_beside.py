"""What is beside the weights of a folder: config, tokenizer, and what the user chose."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.checkpoint.families._protocol import Overrides
from albertkit.config import AlbertConfig
from albertkit.errors import ConfigError, listed, quoted, shown
from albertkit.files import glimpse_json, strict_json
from albertkit.tasks.head import TaskHead
from albertkit.text.vocabulary_files import candidates

if TYPE_CHECKING:
    from albertkit.checkpoint.checkpoint import Checkpoint
    from albertkit.text.tokenizer import Tokenizer

MAX_FILES = 1000  # of a folder that are looked at
# Config files of every dialect have some of these.
_SIZES = {
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("embedding_size", "emb_size", "layers_num", "heads_num", "init_args", "init_class"),
}
SPECIAL_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")


def find_config(folder: Path, names: Iterable[str], overrides: Overrides) -> Path:
    """The config file that was chosen, or the first of these names in the folder.

    Raises:
        ConfigError: there is none.
    """
    if overrides.config is not None:
        return overrides.config
    wanted = list(names)
    for name in wanted:
        if (folder / name).is_file():
            return folder / name
    others = other_configs([folder])
    place = str(others[0]) if others else "FILE"
    copy = "" if others else f"copy {wanted[0]} of the model there, or "
    raise ConfigError(
        "There is no config beside the weights.",
        expected=" or ".join(wanted),
        found=looks_like_config(others) or "no such file",
        where=folder,
        fix=f'{copy}pass overrides=Overrides(config="{place}")',
        command_fix=f"{copy}add --config {quoted(place)}",
    )


def other_configs(folders: Iterable[Path]) -> list[Path]:
    """JSON files of unusual names that look like the config of a model, in the order of names."""
    found = []
    for folder in folders:
        for file in sorted(folder.glob("*.json"))[:MAX_FILES]:
            values = glimpse_json(file)
            if isinstance(values, dict) and len(_SIZES & set(values)) > 1:
                found.append(file)
    return found


def looks_like_config(others: list[Path]) -> str:
    """Such files for a message; nothing if there are none."""
    names = ", ".join(file.name for file in others[:4])
    return names and f"{names}: it looks like one" if len(others) < 2 else f"{names} look like one"


def read_values(path: Path) -> dict[str, Any]:
    """The JSON object of a config file.

    Raises:
        ConfigError: missing, no strict JSON, or no object.
    """
    try:
        values = strict_json(path)
        if not isinstance(values, dict):
            raise ConfigError(
                "The config file must be a JSON object of keys and values.",
                found=shown(values),
                fix="give the config.json that belongs to the weights",
            )
    except ConfigError as error:
        raise error.at(path) from error
    return values


def check_keys(values: Mapping[str, Any]) -> None:
    """Refuse keys that the user sets and no config has.

    Raises:
        ConfigError: an unknown key.
    """
    known = {field.name for field in dataclasses.fields(AlbertConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise ConfigError(
            "This is not a key of an ALBERT config.",
            expected=", ".join(sorted(known)),
            found=listed(unknown),
            fix=f"correct the key; perhaps {near[0]}" if near else "correct the key",
        )


def with_values(config: AlbertConfig, values: Mapping[str, Any]) -> AlbertConfig:
    """The config with what the user chose.

    Raises:
        ConfigError: an unknown key, or a value that no ALBERT has.
    """
    check_keys(values)
    return dataclasses.replace(config, **values)


def check_head(head: TaskHead | None, kind: str | None) -> None:
    """Refuse a head that was named and is not in the file.

    Raises:
        ConfigError: there is none, or one of another kind.
    """
    if kind is not None and (head is None or head.kind != kind):
        raise ConfigError(
            "The file holds no head of this kind.",
            expected="no head named" if head is None else head.kind,
            found=kind,
            fix="leave the head out of the overrides",
            command_fix="leave --head out",
        )


def provenance(
    config: AlbertConfig,
    keys: Mapping[str, str],
    file: Path,
    overrides: Overrides,
    decided: Mapping[str, str],
) -> dict[str, str]:
    """Where the value of each config key came from.

    Args:
        config: the config.
        keys: our key of each key that the file holds.
        file: the config file.
        overrides: what the user said.
        decided: keys that something else decided, and what.
    """
    places = {field.name: "default" for field in dataclasses.fields(config)}
    places |= dict.fromkeys((key for key in keys.values() if key in places), file.name)
    return {**places, **decided, **dict.fromkeys(overrides.values, "given")}


def find_tokenizer(folder: Path, problems: list[str]) -> Path | None:
    """The tokenizer in a folder: the folder itself, one file, or none; doubts go to `problems`."""
    return None if the_only(candidates(folder), problems) is None else folder


def the_only(vocabularies: Sequence[Path], problems: list[str]) -> Path | None:
    """The vocabulary, if there is one; if there are several, none, and `problems` says so."""
    if len(vocabularies) > 1:
        names = listed([path.name for path in vocabularies])
        problems.append(
            f"no tokenizer is read: {names} are all here; say which with --tokenizer FILE, or "
            "tokenizer= in Python"
        )
    return vocabularies[0] if len(vocabularies) == 1 else None


def open_tokenizer(
    place: Path, config: AlbertConfig, problems: list[str], lower_case: bool | None = None
) -> Tokenizer:
    """Open the tokenizer at a place; settings that are not honoured go to `problems`.

    Raises:
        VocabularyError: it cannot be read, or does not fit the config.
    """
    from albertkit.text.tokenizer import Tokenizer
    from albertkit.text.vocabulary import check_fits

    tokenizer = Tokenizer.load(place, lower_case=lower_case)
    check_fits(tokenizer, config)
    problems += [f"tokenizer: {note}" for note in tokenizer.notes]
    unused = config.vocab_size - tokenizer.vocab_size
    if unused:
        problems.append(
            f"{unused} rows of the embedding table have no piece: the vocabulary has "
            f"{tokenizer.vocab_size}, vocab_size is {config.vocab_size}"
        )
    return tokenizer


def special_ids(values: Mapping[str, Any]) -> dict[str, int]:
    """Ids of special pieces that a config file gives."""
    return {name: values[name] for name in SPECIAL_IDS if type(values.get(name)) is int}


def check_special_ids(
    ids: dict[str, int], tokenizer: Tokenizer, problems: list[str]
) -> dict[str, int]:
    """The ids that the tokenizer has; those of a config that differ go to `problems`."""
    real = ids_of(tokenizer)
    wrong = [f"{name} is {ids[name]}, not {real[name]}" for name in ids if ids[name] != real[name]]
    if wrong:
        problems.append(
            f"the config has wrong ids, those of the tokenizer are used: {'; '.join(wrong)}"
        )
    return real


def ids_to_write(checkpoint: Checkpoint) -> dict[str, int]:
    """The ids for a config file: those of the tokenizer, without one those that were read."""
    tokenizer = checkpoint.tokenizer
    return dict(checkpoint.special_ids) if tokenizer is None else ids_of(tokenizer)


def ids_of(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of the special pieces as config files give them."""
    known = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
    return dict(zip(SPECIAL_IDS, known, strict=True))
