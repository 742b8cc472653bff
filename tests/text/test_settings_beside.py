"""What lies beside a vocabulary: every setting is honoured and kept, or named in `notes`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from albertkit.config import AlbertConfig
from albertkit.errors import TokenizationError, VocabularyError
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import check_fits
from albertkit.text.words import segmenter_for

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def unigram(folder: Path, model: Path, *pieces: str, special: dict[str, str] | None = None) -> Path:
    """A folder with a SentencePiece model that has these pieces, and special ones of any name."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.read_bytes())
    kept = list(proto.pieces)[:5]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    for piece in proto.pieces:
        piece.piece = (special or {}).get(piece.piece, piece.piece)
    for number, text in enumerate(pieces):
        proto.pieces.add(piece=text, score=-1.0 - number / 100)
    if special:
        proto.trainer_spec.unk_piece = special["<unk>"]
        proto.trainer_spec.pad_piece = special["<pad>"]
    folder.mkdir(exist_ok=True)
    (folder / "spiece.model").write_bytes(proto.SerializeToString())
    return folder


def wordpiece(folder: Path, *pieces: str, special: tuple[str, ...] = SPECIAL) -> Path:
    """A folder with a WordPiece vocabulary."""
    folder.mkdir(exist_ok=True)
    lines = "\n".join([*special, *pieces]) + "\n"
    (folder / "vocab.txt").write_text(lines, encoding="utf-8")
    return folder


def say(folder: Path, name: str = "tokenizer_config.json", **values: Any) -> Path:
    (folder / name).write_text(json.dumps(values))
    return folder


def shown(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.pieces[number] for number in tokenizer.ids(text)]


def saved(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """The tokenizer after it was saved and opened again."""
    folder.mkdir()
    tokenizer.save(folder)
    again = Tokenizer.load(folder)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.settings() == tokenizer.settings()
    return again


@pytest.fixture
def model(golden: Path) -> Path:
    return golden / "tokenization_own" / "spiece.model"


def test_accents_are_kept_where_keep_accents_says_so(tmp_path: Path, model: Path) -> None:
    place = unigram(tmp_path / "a", model, "▁", "か", "が", "ç", "c", "É", "é")
    say(place, do_lower_case=False, keep_accents=True)
    keeping = Tokenizer.load(place)
    # As transformers gives for these: one piece a letter, the accents still on.
    assert shown(keeping, "がか ç") == ["▁", "が", "か", "▁", "ç"]
    assert shown(saved(keeping, tmp_path / "b"), "É") == ["▁", "É"]
    ids, offsets = keeping.align("が ç")
    assert (ids, offsets) == (keeping.ids("が ç"), [(0, 0), (0, 1), (2, 2), (2, 3)])
    assert shown(Tokenizer.load(place / "spiece.model"), "ç") == ["▁", "ç"]
    assert shown(Tokenizer.load(place, lower_case=True), "É") == ["▁", "é"]
    say(place, do_lower_case=False)
    stripping = Tokenizer.load(place)
    assert shown(stripping, "ç") == ["▁", "c"]
    assert stripping.fingerprint != keeping.fingerprint


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({}, ["cafe", "中", "文"]),
        ({"strip_accents": False}, ["café", "中", "文"]),
        ({"do_lower_case": False}, ["Café", "中", "文"]),
        ({"do_lower_case": False, "strip_accents": True}, ["Cafe", "中", "文"]),
        ({"tokenize_chinese_chars": False}, ["cafe", "中文"]),
        ({"strip_accents": None, "do_lower_case": True}, ["cafe", "中", "文"]),
    ],
)
def test_accents_and_chinese_characters_of_a_wordpiece_vocabulary_follow_its_settings(
    tmp_path: Path, settings: dict[str, Any], pieces: list[str]
) -> None:
    place = wordpiece(tmp_path / "a", "cafe", "café", "Café", "Cafe", "中", "文", "中文")
    tokenizer = Tokenizer.load(say(place, **settings))
    for each in (tokenizer, saved(tokenizer, tmp_path / "b")):
        assert shown(each, "Café 中文") == pieces
        ids, offsets = each.align("Café 中文")
        assert ids == each.ids("Café 中文")
        assert offsets[0] == (0, 4)
        marked = segmenter_for(each).encode(["Café 中文"])
        assert marked[0][0].tolist() == ids


NAMES = {"<pad>": "[PAD]", "<unk>": "[UNK]"}


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_special_pieces_have_the_names_that_the_settings_say(
    tmp_path: Path, model: Path, file: str
) -> None:
    other = {"<pad>": "<p>", "<unk>": "<u>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    place = unigram(tmp_path / "a", model, "▁a", "b", special=other)
    with pytest.raises(VocabularyError) as caught:
        Tokenizer.load(place)
    assert "pad_token" in caught.value.facts["to do"]
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    named: dict[str, Any] = dict(zip(roles, other.values(), strict=True))
    named["mask_token"] = {"content": "<mask>", "lstrip": True, "special": True}
    tokenizer = Tokenizer.load(say(place, file, **named))
    for each in (tokenizer, saved(tokenizer, tmp_path / "b")):
        found = [each.pad_id, each.unk_id, each.cls_id, each.sep_id, each.mask_id]
        assert found == [0, 1, 2, 3, 4]
        assert each.encode("a <mask> [MASK]", allow_mask=True).ids.count(4) == 2
        assert each.notes == []


def test_special_pieces_of_the_other_kind_are_known_without_settings(
    tmp_path: Path, model: Path
) -> None:
    tokenizer = Tokenizer.load(unigram(tmp_path / "a", model, "▁a", special=NAMES))
    assert (tokenizer.pad_id, tokenizer.unk_id) == (0, 1)
    place = wordpiece(tmp_path / "b", "a", special=("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
    assert Tokenizer.load(place).pad_id == 0


def test_a_name_that_is_no_piece_is_reported(tmp_path: Path) -> None:
    place = say(wordpiece(tmp_path / "a", "a"), pad_token="<pad>", cls_token="[CLS]")
    tokenizer = Tokenizer.load(place)
    assert tokenizer.pad_id == 0
    assert len(tokenizer.notes) == 1
    assert "<pad>" in tokenizer.notes[0]


@pytest.mark.parametrize(
    "value", [{"never_split": ["x"]}, {"remove_space": False}, {"do_basic_tokenize": False}]
)
def test_a_setting_that_is_not_supported_is_reported(tmp_path: Path, value: dict[str, Any]) -> None:
    tokenizer = Tokenizer.load(say(wordpiece(tmp_path / "a", "a"), **value))
    assert next(iter(value)) in tokenizer.notes[0]
    again = saved(tokenizer, tmp_path / "b")
    assert again.notes == tokenizer.notes  # the setting is still there


def test_added_tokens_are_found_in_the_text_itself(tmp_path: Path, model: Path) -> None:
    place = unigram(tmp_path / "a", model, "▁a", "▁b", "▁", "s", "k", "y", "p", "e")
    size = Tokenizer.load(place).vocab_size
    (place / "added_tokens.json").write_text(json.dumps({"skype": size, "[ENT]": size + 1}))
    say(place, additional_special_tokens=["[ENT]"])
    tokenizer = Tokenizer.load(place)
    assert tokenizer.vocab_size == size + 2
    for each in (tokenizer, saved(tokenizer, tmp_path / "b")):
        assert shown(each, "a skype b[ENT]b") == ["▁a", "skype", "▁b", "[ENT]", "▁b"]
        ids, offsets = each.align("a Skype b")
        assert offsets == [(0, 1), (2, 7), (8, 9)]
        assert each.ids_batch(["a Skype b"]) == [ids]
        assert each.decode([*ids, size + 1]) == "a skype b"
        assert all(each.starts_word(number) for number in (size, size + 1))
        assert size + 1 in each.special_ids
        # Names of ALBERT's own special pieces are text as before.
        assert each.mask_id not in each.ids("a [MASK] b")
    gap = {"far": size + 9}
    (place / "added_tokens.json").write_text(json.dumps(gap))
    assert "far" in Tokenizer.load(place).notes[0]


def test_added_tokens_keep_their_flags(tmp_path: Path) -> None:
    place = wordpiece(tmp_path / "a", "a", "b", "c", "##c", "##b", "new", "york")
    tokens = {
        "12": {"content": "New York", "single_word": True, "special": False},
        "13": {"content": "<X>", "special": True, "lstrip": True, "rstrip": True},
    }
    say(place, added_tokens_decoder=tokens)
    tokenizer = Tokenizer.load(place)
    for each in (tokenizer, saved(tokenizer, tmp_path / "b")):
        assert shown(each, "a new york b") == ["a", "New York", "b"]
        assert shown(each, "new yorkc") == ["new", "york", "##c"]
        ids, offsets = each.align("a <X> b")
        assert (ids[1], offsets) == (13, [(0, 1), (1, 6), (6, 7)])
        assert 13 not in each.ids("<x>")
        marked = segmenter_for(each).encode(["a new york b"])
        assert marked[0][0].tolist() == each.ids("a new york b")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", '{"a": "b"}'),
        ("added_tokens.json", "[]"),
        ("added_tokens.json", "{"),
        ("special_tokens_map.json", "[]"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {"content": "a"}}}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": []}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"9": {}}}'),
        ("tokenizer_config.json", '{"keep_accents": "no"}'),
        ("tokenizer_config.json", '{"strip_accents": 1}'),
    ],
)
def test_damaged_settings_are_refused_with_their_file(
    tmp_path: Path, name: str, content: str
) -> None:
    place = wordpiece(tmp_path / "a", "a")
    (place / name).write_text(content)
    if content == '{"added_tokens_decoder": []}':
        assert Tokenizer.load(place).added == {}  # nothing added
        return
    with pytest.raises(VocabularyError) as caught:
        Tokenizer.load(place)
    assert name in caught.value.facts["where"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("blank", [0, 1, 3])
def test_what_an_editor_adds_to_a_vocabulary_is_passed_over(
    tmp_path: Path, ending: str, mark: str, blank: int
) -> None:
    lines = [*SPECIAL, "今", "天", "好"]
    content = mark + ending.join(lines) + ending * (1 + blank)
    (tmp_path / "vocab.txt").write_bytes(content.encode())
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.pieces == lines
    assert saved(tokenizer, tmp_path / "b").pieces == lines


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_sentencepiece_models_of_other_types_give_the_ids_of_sentencepiece(
    tmp_path: Path, kind: str, english_lines: list[str]
) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line.lower() for line in english_lines),
        model_prefix=str(tmp_path / "spiece"),
        model_type=kind,
        vocab_size=300 if kind != "char" else 60,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    tokenizer = Tokenizer.load(tmp_path)
    again = saved(tokenizer, tmp_path / "b")
    lines = [line.lower() for line in english_lines[:200]]
    checked = 0
    for line in lines:
        pieces = processor.encode(line, out_type=str)
        if any(p[-1:] == "," and p[-2:-1].isdigit() for p in pieces):
            continue
        wanted = processor.encode(line)
        ids, offsets = tokenizer.align(line)
        assert tokenizer.ids(line) == again.ids(line) == ids == wanted
        slices = "".join(line[a:b] for a, b in offsets)
        assert "".join(slices.split()) == "".join(line.split())
        checked += 1
    assert checked > 100


def test_a_model_that_falls_back_to_bytes_has_slices_too(
    tmp_path: Path, english_lines: list[str]
) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(english_lines),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=600,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        byte_fallback=True,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        minloglevel=2,
    )
    tokenizer = Tokenizer.load(tmp_path)
    text = "the 中文 and \U0001f600x"
    ids, offsets = tokenizer.align(text)
    assert ids == tokenizer.ids(text)
    assert tokenizer.unk_id not in ids
    covered = {place for begin, end in offsets for place in range(begin, end)}
    assert {text[place] for place in set(range(len(text))) - covered} == {" "}
    chinese = [offset for offset in offsets if offset[0] in (4, 5)]
    assert chinese.count((4, 5)) == 3
    assert chinese.count((5, 6)) == 3


def test_the_vocabulary_of_a_keras_preset_is_found(tmp_path: Path, model: Path) -> None:
    place = tmp_path / "assets" / "tokenizer"
    place.mkdir(parents=True)
    (place / "vocabulary.spm").write_bytes(model.read_bytes())
    (tmp_path / "tokenizer.json").write_text('{"class_name": "AlbertTokenizer"}')
    wanted = Tokenizer.load(model)
    for path in (tmp_path, place, place / "vocabulary.spm"):
        assert Tokenizer.load(path).fingerprint == wanted.fingerprint


def test_a_table_may_have_some_more_rows_than_there_are_pieces(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(wordpiece(tmp_path / "a", "a", "b"))
    for rows in (7, 8, 64):
        check_fits(tokenizer, AlbertConfig(vocab_size=rows))
    for rows in (6, 30000):
        with pytest.raises(VocabularyError):
            check_fits(tokenizer, AlbertConfig(vocab_size=rows))


def test_what_a_bare_vocabulary_file_cannot_hold_is_said(tmp_path: Path, model: Path) -> None:
    plain = Tokenizer.load(model)
    assert plain.lost_without_settings() == []
    place = unigram(tmp_path / "a", model, "▁a", special=NAMES)
    say(place, keep_accents=True, do_lower_case=False)
    size = Tokenizer.load(place).vocab_size
    (place / "added_tokens.json").write_text(json.dumps({"skype": size}))
    lost = " ".join(Tokenizer.load(place).lost_without_settings())
    assert all(word in lost for word in ("capitals", "keep_accents", "special", "added"))
    with pytest.raises(TokenizationError):
        plain.decode([plain.vocab_size])


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_added_tokens_of_a_tokenizer_json_beside_the_vocabulary_count(
    tmp_path: Path, model: Path, kind: str
) -> None:
    if kind == "unigram":
        place = unigram(tmp_path / "a", model, "▁a", "▁b")
    else:
        place = wordpiece(tmp_path / "a", "a", "b")
    size = Tokenizer.load(place).vocab_size
    inside = [
        {"id": 4, "content": "[MASK]", "special": True},
        {"id": size, "content": "<user>", "special": True},
        {"id": size + 1, "content": "skype", "special": False, "single_word": True},
    ]
    say(place, "tokenizer.json", version="1.0", added_tokens=inside, model={"vocab": {}})
    tokenizer = Tokenizer.load(place)
    assert tokenizer.notes == []
    for each in (tokenizer, saved(tokenizer, tmp_path / "b")):
        assert each.ids("a <user> b skype")[1::2] == [size, size + 1]
        assert each.vocab_size == size + 2
    say(place, "added_tokens.json", zoom=size + 1)  # a file about nothing else is believed first
    assert Tokenizer.load(place).ids("zoom") == [size + 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"added_tokens": [{"id": 2', "damaged"),
        ('{"added_tokens": [{"id": -1, "content": "x"}]}', "cannot be read"),
        ('{"added_tokens": [7]}', "cannot be read"),
        ('{"added_tokens": [{"id": 900, "content": "x"}]}', "not used"),
        ('{"added_tokens": [{"id": 4, "content": "x"}]}', "which is the piece"),
    ],
)
def test_added_tokens_of_a_tokenizer_json_that_are_not_used_are_named(
    tmp_path: Path, content: str, words: str
) -> None:
    place = wordpiece(tmp_path / "a", "a", "b")
    (place / "tokenizer.json").write_text(content)
    tokenizer = Tokenizer.load(place)
    assert tokenizer.vocab_size == 7
    assert any(words in note for note in tokenizer.notes)
