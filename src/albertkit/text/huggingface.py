"""tokenizer.json and tokenizer_config.json, so that transformers tokenizes as we do.

transformers 5 builds its own tokenizer from spiece.model and loses the digit-and-comma rule and
the words around ( ) " - . on the way. A complete tokenizer.json under the generic class
`PreTrainedTokenizerFast` is taken as it is. Its quotes are always rewritten, as transformers' own
ALBERT tokenizers do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers import Tokenizer as RustTokenizer

from albertkit.text.vocabulary_files import SETTINGS_FILE

if TYPE_CHECKING:
    from albertkit.text.tokenizer import Tokenizer
    from albertkit.text.unigram import UnigramTokenizer
    from albertkit.text.wordpiece import WordPieceTokenizer

TOKENIZER_FILE = "tokenizer.json"
# Far below every real score: the model then never chooses such a piece. That is the rule for pieces
# of a digit and a comma, and text is no special piece, either.
NEVER = -1000.0
MODEL_MAX_LENGTH = 512


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """transformers' names of the special pieces."""
    return {
        "pad_token": tokenizer.pieces[tokenizer.pad_id],
        "unk_token": tokenizer.pieces[tokenizer.unk_id],
        "cls_token": tokenizer.pieces[tokenizer.cls_id],
        "sep_token": tokenizer.pieces[tokenizer.sep_id],
        "mask_token": tokenizer.pieces[tokenizer.mask_id],
    }


def settings(tokenizer: Tokenizer, kind: str, **more: Any) -> dict[str, Any]:
    """Content of tokenizer_config.json."""
    return {
        "tokenizer_class": kind,
        "do_lower_case": tokenizer.lower_case,
        "model_max_length": MODEL_MAX_LENGTH,
        # Without this transformers 5 gives no segments, and pairs run as one text.
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **special_tokens(tokenizer),
        **more,
    }


def write(rust: RustTokenizer, tokenizer: Tokenizer, folder: Path, values: dict[str, Any]) -> None:
    """Add what both kinds share, and write both files."""
    for piece in special_tokens(tokenizer).values():
        # A mask takes the space in front of it along: "the [MASK] of" is as long as "the cat of".
        is_mask = piece == tokenizer.pieces[tokenizer.mask_id]
        rust.add_special_tokens([AddedToken(piece, lstrip=is_mask, normalized=False)])
    cls, sep = tokenizer.pieces[tokenizer.cls_id], tokenizer.pieces[tokenizer.sep_id]
    rust.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, tokenizer.cls_id), (sep, tokenizer.sep_id)],
    )
    (folder / TOKENIZER_FILE).write_text(rust.to_str(pretty=False), encoding="utf-8")
    text = json.dumps(values, ensure_ascii=False, indent=2) + "\n"
    (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")


def write_unigram_files(tokenizer: UnigramTokenizer, folder: Path) -> None:
    """Both files for a SentencePiece vocabulary."""
    never = tokenizer.special_ids.union(tokenizer.cut_pieces)
    scored = [
        (piece.piece, NEVER if number in never else piece.score)
        for number, piece in enumerate(tokenizer.proto.pieces)
    ]
    rust = RustTokenizer(models.Unigram(scored, unk_id=tokenizer.unk_id, byte_fallback=False))
    steps: list[normalizers.Normalizer] = [
        # First, as in the original: later steps would drop what Python counts as white space.
        normalizers.Replace(Regex(r"[\s\x1c-\x1f\x85]+"), " "),
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
    ]
    if tokenizer.lower_case:
        steps.append(normalizers.Lowercase())
    charsmap = tokenizer.proto.normalizer_spec.precompiled_charsmap
    if charsmap:
        steps.append(normalizers.Precompiled(charsmap))
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    rust.normalizer = normalizers.Sequence(steps)
    rust.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    rust.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    values = settings(
        tokenizer,
        "PreTrainedTokenizerFast",
        albertkit_quotes=tokenizer.quotes,
        albertkit_comma_rule=tokenizer.comma_rule,
        keep_accents=False,
    )
    write(rust, tokenizer, folder, values)


def write_wordpiece_files(tokenizer: WordPieceTokenizer, folder: Path) -> None:
    """Both files for a WordPiece vocabulary."""
    numbers = {piece: number for number, piece in enumerate(tokenizer.pieces)}
    rust = RustTokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=200))
    lower = tokenizer.lower_case
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=lower, lowercase=lower
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##")
    write(rust, tokenizer, folder, settings(tokenizer, "BertTokenizer", strip_accents=lower))
