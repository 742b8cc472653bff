"""tokenizer.json files with every kind of part that the `tokenizers` library has."""

from __future__ import annotations

import tiny_files
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors as post

SPECIAL = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
LETTERS = [chr(code) for code in range(0x61, 0x7B)]


def seeds() -> list[bytes]:
    """One file for each kind of model, the other parts spread over them."""
    return [_unigram(), _bpe(), _wordpiece()]


def _unigram() -> bytes:
    pieces = [(piece, -1.0 - number) for number, piece in enumerate([*SPECIAL, "\u2581", *LETTERS])]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(tiny_files.charsmap()),
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Replace("``", '"'),
            normalizers.Strip(left=False, right=True),
            normalizers.Prepend("\u2581"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = post.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    return _saved(tokenizer)


def _bpe() -> bytes:
    pieces = {piece: number for number, piece in enumerate([*SPECIAL, *LETTERS, "th", "the"])}
    tokenizer = Tokenizer(
        models.BPE(
            pieces, [("t", "h"), ("th", "e")], unk_token="<unk>", dropout=None, fuse_unk=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "isolated", invert=False),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.CharDelimiterSplit("-"),
            pre_tokenizers.UnicodeScripts(),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = post.Sequence(
        [post.ByteLevel(trim_offsets=True), post.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("_", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _saved(tokenizer)


def _wordpiece() -> bytes:
    pieces = {piece: number for number, piece in enumerate([*SPECIAL, *LETTERS, "##s", "the"])}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="<unk>", max_input_chars_per_word=50))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=None)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = post.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return _saved(tokenizer)


def _saved(tokenizer: Tokenizer) -> bytes:
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    tokenizer.add_tokens([AddedToken("\u732b", lstrip=True, single_word=True)])
    return str(tokenizer.to_str()).encode()
