"""tokenizer.json: a whole tokenizer of the `tokenizers` library, run by that library.

transformers 5 saves nothing else for an ALBERT. The ids are those of the library but for the names
of special tokens in the text, which stay text here as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, normalizers

from albertkit.errors import VocabularyError
from albertkit.files import translate_os_errors
from albertkit.text import unigram, wordpiece
from albertkit.text.alignment import SPACE
from albertkit.text.encoding import IdsAndOffsets, Offsets, refuse_surrogates
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.tokenizer_json_check import KINDS, read_tokenizer_json
from albertkit.text.tokenizer_settings import (
    AddedToken,
    AddedTokenMatcher,
    TokenizerSettings,
    added_token,
)
from albertkit.text.vocabulary_files import (
    MAX_PIECES,
    MAX_TOKENIZER_BYTES,
    TOKENIZER_FILE,
    WORDPIECE_FILE,
    read_bytes,
)

NAMES = {
    role: (*unigram.SPECIAL_NAMES[role], *wordpiece.SPECIAL_NAMES[role])
    for role in unigram.SPECIAL_NAMES
}


class JsonTokenizer(Tokenizer):
    """A tokenizer.json with a Unigram, BPE or WordPiece model and the special pieces of ALBERT.

    lower_case: if given, it must be what the file does.

    Raises:
        VocabularyError: the file is damaged, is that of another program, lacks a special piece, or
            does not lower-case as asked.
    """

    def __init__(
        self,
        path: Path,
        *,
        lower_case: bool | None = None,
        settings: TokenizerSettings | None = None,
    ) -> None:
        settings = settings or TokenizerSettings()
        self._path = path
        content = read_bytes(path, MAX_TOKENIZER_BYTES)
        values = _read(content, path)
        with _library_errors(path):
            self._rust = RustTokenizer.from_str(content.decode("utf-8-sig"))
            self._rust.no_padding()
            self._rust.no_truncation()
            self._rust.encode_special_tokens = True
            _apply(settings, self._rust)
            if isinstance(self._rust.model, models.BPE):
                self._rust.model.dropout = None  # else a text's ids are others each time
            self._bytes = self._rust.to_str(pretty=False).encode()
            numbers = self._rust.get_vocab(with_added_tokens=True)
        self.kind = KINDS[values["model"]["type"]]
        self.lower_case = "a" in self._normalized("A")
        if lower_case not in (None, self.lower_case):
            raise VocabularyError(
                "tokenizer.json fixes how capitals are treated.",
                expected=f"lower_case={self.lower_case}, as tokenizer.json does",
                found=f"lower_case={lower_case}",
                where=path,
                fix="leave lower_case out",
                command_fix="leave --lower-case and --cased out",
            )
        inside = {
            number: token
            for each in values.get("added_tokens") or []
            if (token := added_token(each)) is not None
            and (number := numbers.get(token.text)) is not None
        }
        roles = _roles(values, settings)
        self._use(
            _by_id(numbers, path),
            TokenizerSettings(settings.values, roles, settings.added, settings.notes),
            NAMES,
            path,
        )
        special = {self.pieces[number] for number in self._special_numbers()}
        more = {n: x for n, x in inside.items() if x.special and x.text not in special}
        self._take_special(more)
        said = settings.flag("do_lower_case")
        if said is not None and said != self.lower_case:
            self.notes.append(
                f"tokenizer_config.json says do_lower_case={said}; tokenizer.json decides"
            )

    def _take_special(self, tokens: dict[int, AddedToken]) -> None:
        """Special tokens besides ALBERT's five: the library would take them for text now."""
        self.added |= tokens
        if self.added:
            self._matcher = AddedTokenMatcher(self.added, self.lower_case)

    def _normalized(self, text: str) -> str:
        normalizer = self._rust.normalizer
        with _library_errors(self._path):
            return text if normalizer is None else str(normalizer.normalize_str(text))

    def settings(self) -> dict[str, Any]:
        values = {"kind": self.kind, "file": TOKENIZER_FILE}
        return {**values, **self.changed_settings(NAMES)}

    def vocabulary_bytes(self) -> bytes:
        return self._bytes

    def plain_vocabulary(self) -> tuple[str, bytes] | None:
        if self.kind != "wordpiece" or any("\n" in piece for piece in self.pieces):
            return None
        return WORDPIECE_FILE, ("\n".join(self.pieces) + "\n").encode()

    def _ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        for text in texts:
            refuse_surrogates(text)
        with _library_errors(self._path):  # some faults of a file show only with a text
            rows = self._rust.encode_batch_fast(list(texts), add_special_tokens=False)
        return [row.ids for row in rows]

    def _align_batch(self, texts: Sequence[str]) -> list[IdsAndOffsets]:
        for text in texts:
            refuse_surrogates(text)
        with _library_errors(self._path):
            rows: list[RustEncoding] = self._rust.encode_batch(
                list(texts), add_special_tokens=False
            )
        return [
            (row.ids, without_space(text, row.offsets))
            for text, row in zip(texts, rows, strict=True)
        ]

    def starts_word(self, piece_id: int) -> bool:
        piece = self.pieces[piece_id]
        if piece_id >= self.num_trained:
            return True
        if self.kind == "wordpiece":
            return not piece.startswith("##") or piece == "##"
        return unigram.starts_word(piece)

    def join(self, pieces: list[str]) -> str:
        if self.kind == "wordpiece":
            return wordpiece.join(pieces)
        return "".join(pieces).replace(SPACE, " ").strip()

    def save(self, folder: Path | str) -> None:
        from albertkit.text.huggingface import write_settings

        folder = Path(folder)
        with translate_os_errors(folder):
            (folder / TOKENIZER_FILE).write_bytes(self._bytes)
            kind = self.extra.get("tokenizer_class")
            usual = "BertTokenizer" if self.kind == "wordpiece" else "PreTrainedTokenizerFast"
            write_settings(self, folder, kind if isinstance(kind, str) else usual)


def _read(content: bytes, path: Path) -> dict[str, Any]:
    """The JSON object of a tokenizer that is safe to be run."""
    try:
        return read_tokenizer_json(content)
    except (ValueError, RecursionError) as error:
        known = type(error) is ValueError  # the check says what is wrong
        raise _unusable(path, f"{'' if known else type(error).__name__ + ': '}{error}") from error


def _roles(values: dict[str, Any], settings: TokenizerSettings) -> dict[str, str]:
    """Names of the special pieces; what the model calls unknown is known."""
    unknown = values["model"].get("unk_token")
    pieces, number = values["model"].get("vocab"), values["model"].get("unk_id")
    if isinstance(pieces, list) and type(number) is int and 0 <= number < len(pieces):
        unknown = pieces[number][0]
    named = {"unk": unknown} if isinstance(unknown, str) else {}
    return {**settings.special, **named}


def _by_id(numbers: dict[str, int], path: Path) -> list[str]:
    """Pieces in the order of their ids; an id without a piece gets a name of its own."""
    size = max(numbers.values(), default=-1) + 1
    if not 0 < size <= MAX_PIECES:
        raise _unusable(path, f"ids up to {size - 1}")
    pieces = [f"[no piece {number}]" for number in range(size)]
    for piece, number in numbers.items():
        pieces[number] = piece
    return pieces


def _apply(settings: TokenizerSettings, rust: RustTokenizer) -> None:
    """What tokenizer_config.json says wins over a BERT normalizer, as in transformers."""
    normalizer = rust.normalizer
    if not isinstance(normalizer, normalizers.BertNormalizer):
        return
    for name, ours in (
        ("lowercase", "do_lower_case"),
        ("strip_accents", "strip_accents"),
        ("handle_chinese_chars", "tokenize_chinese_chars"),
    ):
        said = settings.flag(ours)
        if said is not None:
            setattr(normalizer, name, said)
    rust.normalizer = normalizer


@contextmanager
def _library_errors(path: Path) -> Iterator[None]:
    """Errors of the library, which panics on some damaged files, as ours."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, VocabularyError):
        raise
    except BaseException as error:  # a panic is not an Exception
        raise _unusable(path, f"{type(error).__name__}: {str(error)[:200]}") from error


def _unusable(path: Path, found: str) -> VocabularyError:
    return VocabularyError(
        "This tokenizer.json cannot be used for ALBERT.",
        expected="a file of the tokenizers library with a Unigram, BPE or WordPiece model; or a "
        "SentencePiece model (*.model), or a vocab.txt",
        found=found,
        where=path,
        fix="copy the file again, or give the spiece.model or vocab.txt of the model",
    )


def without_space(text: str, offsets: Offsets) -> Offsets:
    """Offsets that begin behind the white space of a text."""
    made: Offsets = []
    for start, end in offsets:
        while start < end and text[start].isspace():
            start += 1
        made.append((start, end))
    return made
