"""English: what is done before and after SentencePiece."""

from __future__ import annotations

from pathlib import Path

import pytest
from sentencepiece import sentencepiece_model_pb2

from albertkit.errors import TokenizationError, VocabularyError
from albertkit.text.tokenizer import Tokenizer

SPACE = "\u2581"


def pieces(tokenizer: Tokenizer, text: str) -> str:
    return " ".join(tokenizer.pieces[i] for i in tokenizer.ids(text)).replace(SPACE, "_")


def with_pieces(folder: Path, model: Path, *added: str) -> Tokenizer:
    """A copy of a SentencePiece model with more pieces, which win wherever they fit."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.read_bytes())
    for piece in added:
        proto.pieces.add(piece=piece, score=-0.01)
    path = folder / "more.model"
    path.write_bytes(proto.SerializeToString())
    return Tokenizer.load(path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # Section 4.1 of the reference: outputs of google's code with the released model.
        ("cost 34, in 2009, and 5, x", "_cost _34 , _in _2009 , _and _5 , _x"),
        ("1,234,567.", "_1 , 234 , 5 67 ."),
        ("\u00bd caf\u00e9 NA\u00cfVE", "_1 <unk> 2 _cafe _naive"),
        ("", ""),
        (" \t\r\n\u3000 ", ""),
        ("[MASK]", "_[ mask ]"),
    ],
)
def test_pieces_are_those_the_reference_lists(english: Tokenizer, text: str, wanted: str) -> None:
    assert pieces(english, text) == wanted


@pytest.mark.shared
def test_quotes_are_kept_or_rewritten_as_chosen(shared: Path, english: Tokenizer) -> None:
    text = "``quoted'' text"
    assert '"' not in pieces(english, text)
    rewriting = Tokenizer.load(shared / "vocab/en/30k-clean.model", quotes="rewrite")
    # Section 4.1 again: the slow tokenizer of transformers 4.
    assert pieces(rewriting, text) == '_ " quo ted " _text'
    assert rewriting.fingerprint != english.fingerprint
    with pytest.raises(VocabularyError, match="rewrite"):
        Tokenizer.load(shared / "vocab/en/30k-clean.model", quotes="drop")


def test_a_number_piece_with_comma_inside_a_word_is_cut_as_google_or_transformers_does(
    tmp_path: Path, small_english: Path
) -> None:
    model = small_english / "spiece.model"
    plain = Tokenizer.load(model)
    # The text reaches "34," behind letters, so the piece has no space mark; google's code under
    # Python 3 leaves one in front of the number.
    google = with_pieces(tmp_path, model, "34,", SPACE + "2009,")
    other = Tokenizer.load(tmp_path / "more.model", comma_rule="transformers")
    assert "34," in google.pieces
    for tokenizer, wanted in ((google, "_x_34,_in_2009,_y"), (other, "_x34,_in_2009,_y")):
        cut = pieces(tokenizer, "x34, in 2009, y")
        assert not {"34,", "_2009,"} & set(cut.split())
        assert cut.replace(" ", "") == wanted
        ids, offsets = tokenizer.align("x34, y")
        assert ids == tokenizer.ids("x34, y")
        comma = ids.index(tokenizer.pieces.index(","))
        assert offsets[comma] == (3, 4)
        assert tokenizer.fingerprint != plain.fingerprint
    assert pieces(plain, "x34, in 2009, y") == pieces(other, "x34, in 2009, y")
    assert google.fingerprint != other.fingerprint
    with pytest.raises(VocabularyError, match="transformers"):
        Tokenizer.load(model, comma_rule="brightmart")


@pytest.mark.shared
@pytest.mark.parametrize(
    "text",
    [
        "a\x00b \x01\x02 c\x7f",
        "\ufeffBOM and \u200bzero width\u200d",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 family, \U0001f1e9\U0001f1ea flag",
        "\ufdfa\u0301\u0327" * 50,
        "x" * 20_000,
        "1, " * 5_000,
        "666666666666, 777, hahahahaha " * 200,
        "<unk> <pad> <s> </s> [CLS][SEP][MASK]",
    ],
)
def test_hostile_text_is_encoded_the_same_alone_in_a_batch_and_with_offsets(
    english: Tokenizer, text: str
) -> None:
    ids = english.ids(text)
    assert english.ids_batch(["a", text, "", text]) == [english.ids("a"), ids, [], ids]
    aligned, offsets = english.align(text)
    assert aligned == ids
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    specials = {english.pad_id, english.cls_id, english.sep_id, english.mask_id}
    assert not specials & set(ids)


def test_half_of_a_surrogate_pair_is_refused_with_its_place(small_english: Path) -> None:
    tokenizer = Tokenizer.load(small_english)
    for encode in (tokenizer.ids, tokenizer.align, tokenizer.encode):
        with pytest.raises(TokenizationError, match="character 3"):
            encode("abc\udc80")


@pytest.mark.shared
def test_decoded_text_encodes_to_the_same_ids(english: Tokenizer) -> None:
    text = "The well-known (and old) number 1,234 of the cafe, she said, is wrong."
    ids = english.ids(text)
    assert english.decode(ids) == text.lower()
    assert english.ids(english.decode(ids)) == ids
    inside = [english.cls_id, *ids, english.mask_id, english.sep_id]
    assert english.decode(inside) == text.lower()
    assert english.decode(inside, skip_special_tokens=False) == f"[CLS] {text.lower()}[MASK][SEP]"
    for outside in (-1, english.vocab_size):
        with pytest.raises(TokenizationError, match="0 to 29999"):
            english.decode([outside])
