"""What a model refuses of a batch, said alike for every framework: shapes and smallest and largest
values in, errors out. And of a checkpoint: heads that it must have.
"""

from __future__ import annotations

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError
from albertkit.tasks.head import TaskHead

Shape = tuple[int | None, ...]  # None: an axis that is not known yet


def first_segment(config: AlbertConfig) -> int:
    """Row of the first segment: UER-py's models have three rows, and row 0 is padding's."""
    return 1 if config.layer_norm_kind == "uer" and config.type_vocab_size == 3 else 0


def check_shapes(ids: Shape, segment_ids: Shape | None) -> None:
    """Refuse ids and segments of the wrong shape."""
    if len(ids) not in (1, 2) or 0 in ids:
        raise ConfigError(
            "There is nothing to encode.",
            expected="ids (B, T) or packed (S,), at least one token",
            found=f"shape {ids}",
            fix="pass the ids of a tokenizer, one row for each text",
        )
    if segment_ids is not None and not _alike(segment_ids, ids):
        raise ConfigError(
            "segment_ids must have the shape of ids.",
            expected=f"shape {ids}",
            found=f"shape {segment_ids}",
            fix="pass one segment for each id, or leave segment_ids out for zeros",
        )


def _alike(one: Shape, other: Shape) -> bool:
    """Whether two shapes can be the same."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in pairs)


def check_values(config: AlbertConfig, name: str, low: int, high: int) -> None:
    """Refuse an "id" or a "segment" outside its table."""
    rows = {"id": config.vocab_size, "segment": config.type_vocab_size - first_segment(config)}
    if low < 0 or high >= rows[name]:
        raise ConfigError(
            f"The model has no row for this {name}.",
            expected=f"0 to {rows[name] - 1}",
            found=low if low < 0 else high,
            fix="encode the text with the tokenizer of this model",
        )


def check_max_length(config: AlbertConfig, max_length: int) -> None:
    """Refuse rows longer than the position table."""
    if max_length > config.max_position_embeddings:
        raise ConfigError(
            "A row is longer than the model has positions.",
            expected=f"at most max_position_embeddings={config.max_position_embeddings} tokens",
            found=f"{max_length} tokens",
            fix="shorten or split the text",
        )


def check_mask(ids: Shape, mask: Shape, dtype: str) -> None:
    """Refuse a mask of another shape than the ids, or of other values than True and False."""
    if not _alike(mask, ids) or dtype != "bool":
        raise ConfigError(
            "The mask does not fit the ids.",
            expected=f"bool {ids}",
            found=f"{dtype} {mask}",
            fix="pass True for real tokens, False for padding",
        )


def check_one_of(mask: object, lengths: object) -> None:
    """Refuse a mask beside lengths."""
    if mask is not None and lengths is not None:
        raise ConfigError(
            "mask and lengths say the same thing twice.",
            expected="one of mask and lengths",
            found="both",
            fix="fold the lengths into the mask",
        )


def check_number_of_lengths(lengths: Shape, batch_size: int | None) -> None:
    """Refuse lengths that are not one for each row."""
    if not _alike(lengths, (batch_size,)):
        raise ConfigError(
            "The lengths do not fit the batch.",
            expected=f"one length for each of {batch_size} rows",
            found=f"shape {lengths}",
            fix="pass lengths (B,), the number of tokens of each row",
        )


def check_lengths(low: int, high: int, max_length: int) -> None:
    """Refuse lengths that no row of the batch can have."""
    if low < 1 or high > max_length:
        raise ConfigError(
            "A row has an impossible length.",
            expected=f"1 to {max_length} tokens",
            found=f"{low} to {high}",
            fix="leave empty rows out, and count no token that is not in ids",
        )


def check_allowed(rows: Shape, allowed: Shape, dtype: str) -> None:
    """Refuse places for an answer that do not fit the batch."""
    if not _alike(allowed, rows) or dtype != "bool":
        raise ConfigError(
            "The places allowed for an answer do not fit the batch.",
            expected=f"bool {rows}",
            found=f"{dtype} {allowed}",
            fix="pass True where an answer may stand",
        )


def not_several_rows(ids: Shape) -> ConfigError:
    """The error for a batch for multiple choice whose rows are not grouped."""
    return ConfigError(
        "Multiple choice reads several rows for one question.",
        expected="ids (B, choices, T), or packed ids (S,) with lengths (B, choices)",
        found=f"ids {ids}",
        fix="stack the rows of one question: ids[None] makes (1, choices, T) of (choices, T)",
    )


def not_padded(ids: Shape) -> ConfigError:
    """The error for ids that are not rows of one length, where only these can be computed."""
    return ConfigError(
        "A model of Keras reads padded rows.",
        expected="ids (B, T)",
        found=f"shape {ids}",
        fix="pass one row for each text, padded to one length, with a mask or lengths",
    )


def require_masked_lm(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint without masked-LM head."""
    if not checkpoint.has_masked_lm:
        raise CheckpointError(
            "This checkpoint cannot predict masked words.",
            expected="a masked-LM head",
            found="the body alone",
            fix="use load_model, which gives the body, or a checkpoint from pretraining",
        )


def require_task_head(checkpoint: Checkpoint) -> TaskHead:
    """The head of a fine-tuned checkpoint; one without is refused."""
    if checkpoint.head is None:
        raise CheckpointError(
            "This checkpoint was not fine-tuned.",
            expected="the head of a task, such as a classifier",
            found="no such head",
            fix="use load_model, or a fine-tuned checkpoint",
        )
    return checkpoint.head
