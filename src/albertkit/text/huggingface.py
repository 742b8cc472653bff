"""tokenizer.json and tokenizer_config.json, so that transformers tokenizes as we do.

transformers 5 builds its own tokenizer from spiece.model and loses the digit-and-comma rule and
the words around ( ) " - . on the way. A complete tokenizer.json under the generic class
`PreTrainedTokenizerFast` is taken as it is. Its quotes are always rewritten, as transformers' own
ALBERT tokenizers do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentencepiece import sentencepiece_model_pb2
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

from albertkit.text.alignment import SPACE
from albertkit.text.tokenizer_settings import SETTINGS_FILE
from albertkit.text.transformers_calls import MODEL_MAX_LENGTH
from albertkit.text.vocabulary_files import SENTENCEPIECE_FILE, TOKENIZER_FILE, too_large

if TYPE_CHECKING:
    from albertkit.text.tokenizer import Tokenizer
    from albertkit.text.unigram import UnigramTokenizer
    from albertkit.text.wordpiece import WordPieceTokenizer

# Far below every real score: the model then never chooses such a piece. That is the rule for pieces
# of a digit and a comma, and text is never a special piece.
NEVER = -1000.0
MAX_MERGE_CHARACTERS = 64_000_000  # 250,000 pieces of 16 characters, SentencePiece's longest
# Keys of a source that would speak of another tokenizer, or that are written again.
_NOT_KEPT = ("auto_map", "tokenizer_file", "vocab_file", "added_tokens_decoder", "name_or_path")


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """transformers' names of the special pieces."""
    return {
        "pad_token": tokenizer.pieces[tokenizer.pad_id],
        "unk_token": tokenizer.pieces[tokenizer.unk_id],
        "cls_token": tokenizer.pieces[tokenizer.cls_id],
        "sep_token": tokenizer.pieces[tokenizer.sep_id],
        "mask_token": tokenizer.pieces[tokenizer.mask_id],
    }


def write_settings(tokenizer: Tokenizer, folder: Path, kind: str, **more: Any) -> None:
    """Write tokenizer_config.json: what was said there before, and what decides the ids."""
    values = {
        "model_max_length": MODEL_MAX_LENGTH,
        **{key: value for key, value in tokenizer.extra.items() if key not in _NOT_KEPT},
        "tokenizer_class": kind,
        "do_lower_case": tokenizer.lower_case,
        # Without this transformers 5 gives no segments, and pairs run as one text.
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **special_tokens(tokenizer),
        **more,
    }
    if tokenizer.added:
        values["added_tokens_decoder"] = {
            str(number): {
                "content": token.text,
                "lstrip": token.lstrip,
                "normalized": not token.special,
                "rstrip": token.rstrip,
                "single_word": token.single_word,
                "special": token.special,
            }
            for number, token in sorted(tokenizer.added.items())
        }
    text = json.dumps(values, ensure_ascii=False, indent=2) + "\n"
    (folder / SETTINGS_FILE).write_text(text, encoding="utf-8")


def write_tokenizer(rust: RustTokenizer, tokenizer: Tokenizer, folder: Path) -> None:
    """Add what all kinds share, and write tokenizer.json."""
    for piece in special_tokens(tokenizer).values():
        # A mask takes the space in front of it along: "the [MASK] of" is as long as "the cat of".
        is_mask = piece == tokenizer.pieces[tokenizer.mask_id]
        rust.add_special_tokens([AddedToken(piece, lstrip=is_mask, normalized=False)])
    for _, token in sorted(tokenizer.added.items()):
        flags = {"single_word": token.single_word, "lstrip": token.lstrip, "rstrip": token.rstrip}
        made = AddedToken(token.text, **flags, normalized=not token.special)
        if token.special:
            rust.add_special_tokens([made])
        else:
            rust.add_tokens([made])
    cls, sep = tokenizer.pieces[tokenizer.cls_id], tokenizer.pieces[tokenizer.sep_id]
    rust.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, tokenizer.cls_id), (sep, tokenizer.sep_id)],
    )
    (folder / TOKENIZER_FILE).write_text(rust.to_str(pretty=False), encoding="utf-8")


def write_sentencepiece_files(tokenizer: UnigramTokenizer, folder: Path) -> None:
    """Both files for a SentencePiece vocabulary; tokenizer.json for unigram and BPE models only."""
    steps: list[normalizers.Normalizer] = [
        # First, as in the original: later steps would drop what Python counts as white space.
        normalizers.Replace(Regex(r"[\s\x1c-\x1f\x85]+"), " "),
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
    ]
    if not tokenizer.keep_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if tokenizer.lower_case:
        steps.append(normalizers.Lowercase())
    charsmap = tokenizer.proto.normalizer_spec.precompiled_charsmap
    if charsmap:
        steps.append(normalizers.Precompiled(charsmap))
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    model = _model(tokenizer)
    if model is not None:
        rust = RustTokenizer(model)
        rust.normalizer = normalizers.Sequence(steps)
        rust.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
        rust.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
        write_tokenizer(rust, tokenizer, folder)
    write_settings(
        tokenizer,
        folder,
        "AlbertTokenizer" if model is None else "PreTrainedTokenizerFast",
        albertkit_quotes=tokenizer.quotes,
        albertkit_comma_rule=tokenizer.comma_rule,
        keep_accents=tokenizer.keep_accents,
    )


def _model(tokenizer: UnigramTokenizer) -> models.Model | None:
    """The model of the library; None where it has none like it."""
    kinds = sentencepiece_model_pb2.TrainerSpec
    kind = tokenizer.proto.trainer_spec.model_type
    if kind == kinds.UNIGRAM:
        never = tokenizer.special_ids.union(tokenizer.cut_pieces)
        scored = [
            (piece.piece, NEVER if number in never else piece.score)
            for number, piece in enumerate(tokenizer.proto.pieces)
        ]
        return models.Unigram(scored, unk_id=tokenizer.unk_id, byte_fallback=False)
    if kind == kinds.BPE:
        numbers = {piece: n for n, piece in enumerate(tokenizer.pieces[: tokenizer.num_trained])}
        unknown = tokenizer.pieces[tokenizer.unk_id]
        merges = _merges(tokenizer, numbers)
        return models.BPE(numbers, merges, unk_token=unknown, fuse_unk=True)
    return None


def _merges(tokenizer: UnigramTokenizer, numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of pieces that make a piece, in the order in which SentencePiece merges them.

    Raises:
        VocabularyError: so many that the file would be far larger than the model.
    """
    characters = sum(len(piece.piece) ** 2 for piece in tokenizer.proto.pieces)
    if characters > MAX_MERGE_CHARACTERS:
        raise too_large(
            f"pieces whose parts have {MAX_MERGE_CHARACTERS:,} characters in all, or fewer",
            f"up to {characters:,}",
            Path(SENTENCEPIECE_FILE),
        )
    merges = [
        (-piece.score, numbers[piece.piece[:cut]], numbers[piece.piece[cut:]])
        for piece in tokenizer.proto.pieces
        for cut in range(1, len(piece.piece))
        if piece.piece[:cut] in numbers and piece.piece[cut:] in numbers
    ]
    return [(tokenizer.pieces[left], tokenizer.pieces[right]) for _, left, right in sorted(merges)]


def write_wordpiece_files(tokenizer: WordPieceTokenizer, folder: Path) -> None:
    """Both files for a WordPiece vocabulary."""
    numbers = {piece: n for n, piece in enumerate(tokenizer.pieces[: tokenizer.num_trained])}
    unknown = tokenizer.pieces[tokenizer.unk_id]
    rust = RustTokenizer(models.WordPiece(numbers, unk_token=unknown, max_input_chars_per_word=200))
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=tokenizer.split_han,
        strip_accents=tokenizer.strip_accents,
        lowercase=tokenizer.lower_case,
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##")
    write_tokenizer(rust, tokenizer, folder)
    write_settings(
        tokenizer,
        folder,
        "BertTokenizer",
        strip_accents=tokenizer.strip_accents,
        tokenize_chinese_chars=tokenizer.split_han,
    )
