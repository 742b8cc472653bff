"""What every tokenizer can do: encode text and pairs, cut, decode, load and save.

`Tokenizer.load` takes the kind from the files, never from a guess: a SentencePiece model is
`spiece.model`, `*.model` or `*.spm`, a WordPiece vocabulary is `vocab.txt` or `*.txt`, and
tokenizer.json is all of a tokenizer of the `tokenizers` library. The kinds are in unigram.py
(English), wordpiece.py (Chinese) and tokenizer_json.py; the calls that transformers has
besides, `tokenizer(texts, padding=True)` among them, are in transformers_calls.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from albertkit.errors import VocabularyError
from albertkit.files import translate_os_errors
from albertkit.plugins import place_of
from albertkit.text.encoding import Encoding, IdsAndOffsets, Truncation, joined
from albertkit.text.places import in_groups
from albertkit.text.tokenizer_settings import (
    ROLES,
    SETTINGS_FILE,
    AddedToken,
    AddedTokenMatcher,
    TokenizerSettings,
    read_settings,
)
from albertkit.text.transformers_calls import Ints, TransformersCalls, not_texts
from albertkit.text.vocabulary_files import find_vocabulary, refuse_options

MASK = "[MASK]"
_LOST = {
    "quotes": "that the tokenizer rewrites quotes, as only transformers does",
    "keep_accents": "that the tokenizer keeps accents (keep_accents)",
    "strip_accents": "how the tokenizer treats accents (strip_accents)",
    "split_han": "that Chinese characters are not separate words (tokenize_chinese_chars)",
    "special": "the names of the special pieces",
    "added": "the tokens that were added to the vocabulary",
}


class Tokenizer(TransformersCalls):
    """Text to ids and back, exactly as the original programs do it."""

    kind: str
    lower_case: bool
    num_trained: int  # pieces of the vocabulary itself; tokens added later have the ids behind
    added: dict[int, AddedToken]  # tokens that are found in the text itself
    inside: frozenset[int] = frozenset()  # those of them found while text is cut, not before
    notes: list[str]  # settings beside the vocabulary that are not honoured, in words

    @staticmethod
    def load(
        path: Path | str,
        *,
        lower_case: bool | None = None,
        quotes: str | None = None,
        comma_rule: str | None = None,
    ) -> Tokenizer:
        """Open a vocabulary file, a checkpoint folder, or the tokenizer of a model by its name.

        Args:
            path: folder with spiece.model, vocab.txt or tokenizer.json, or such a file; or a name
                such as albert-base-v2 (a path that exists wins). Settings are those beside
                the file (tokenizer_config.json, special_tokens_map.json, added_tokens.json); what
                is not honoured stands in `notes`.
            lower_case: as the vocabulary was made; from tokenizer_config.json if left out, else
                True (all released ALBERT vocabularies are lower-case).
            quotes: English only; "keep" as google does, or "rewrite" two back-ticks and two
                apostrophes to a double quote as transformers does. From tokenizer_config.json if
                left out, else "keep".
            comma_rule: English only; what stands for a piece such as "10," that has no space mark:
                "google" as its program gives it (a space mark, "10", the comma) or "transformers"
                (no space mark). From tokenizer_config.json if left out, else "google".

        Raises:
            VocabularyError: nothing there, both kinds there, or the file is damaged.
            DownloadError: the model of this name cannot be fetched.
        """
        from albertkit.text.tokenizer_json import JsonTokenizer
        from albertkit.text.unigram import UnigramTokenizer
        from albertkit.text.wordpiece import WordPieceTokenizer

        place = place_of(path)
        file = find_vocabulary(place)
        folder = place if place.is_dir() else file.parent
        settings = read_settings(folder, tokenizer_json=file.suffix != ".json")
        chosen = {"quotes": quotes, "comma_rule": comma_rule}
        if file.suffix in (".txt", ".json"):
            refuse_options(chosen, file)
        if file.suffix == ".json":
            return JsonTokenizer(file, lower_case=lower_case, settings=settings)
        if lower_case is None:
            lower_case = settings.flag("do_lower_case") is not False
        if file.suffix == ".txt":
            return WordPieceTokenizer(file, lower_case=lower_case, settings=settings)
        # A folder with the first key alone was saved when transformers' rule was the only one.
        usual = "transformers" if "albertkit_quotes" in settings.values else "google"
        return UnigramTokenizer(
            file,
            lower_case=lower_case,
            quotes=quotes or str(settings.values.get("albertkit_quotes", "keep")),
            comma_rule=comma_rule or str(settings.values.get("albertkit_comma_rule", usual)),
            settings=settings,
        )

    from_pretrained = load

    def save_pretrained(self, folder: Path | str) -> None:
        """`save` into a folder that is made if it is not there.

        Raises:
            OutputError: it cannot be written.
        """
        with translate_os_errors(Path(folder)):
            Path(folder).mkdir(parents=True, exist_ok=True)
        self.save(folder)

    def _use(
        self,
        pieces: list[str],
        settings: TokenizerSettings,
        defaults: Mapping[str, Sequence[str]],
        where: Path,
    ) -> None:
        """Take over the pieces of a vocabulary, the added tokens, and the special pieces.

        defaults: by role the names that a special piece has where the settings name none.

        Raises:
            VocabularyError: a special piece is missing.
        """
        self.notes = list(settings.notes)
        self.extra = dict(settings.values)
        self.num_trained = len(pieces)
        self.pieces = list(pieces)
        for number, token in sorted(settings.added.items()):
            if number == len(self.pieces):
                self.pieces.append(token.text)
            elif number > len(self.pieces):
                self.notes.append(
                    f"the added token {token.text!r} has the id {number}, but there are "
                    f"{len(self.pieces)} pieces: it is not used"
                )
            elif token.text != self.pieces[number]:
                self.notes.append(
                    f"the added token {token.text!r} has the id {number}, which is the piece "
                    f"{self.pieces[number]!r}: it is not used"
                )
        numbers = {piece: number for number, piece in enumerate(self.pieces)}
        found: dict[str, int] = {}
        for role in ROLES:
            named = settings.special.get(role)
            names = [name for name in (named, *defaults[role]) if name in numbers]
            if names:
                found[role] = numbers[names[0]]
                if named is not None and names[0] != named:
                    self.notes.append(
                        f"{role}_token is {named!r}, which is not a piece: {names[0]!r} is used"
                    )
        missing = [role for role in ROLES if role not in found]
        if missing:
            wanted = " ".join(settings.special.get(role, defaults[role][0]) for role in missing)
            raise VocabularyError(
                "The vocabulary lacks special pieces of ALBERT.",
                expected="pieces for " + ", ".join(f"{role}_token" for role in ROLES),
                found=f"no {wanted} among {len(self.pieces)} pieces",
                where=where,
                fix=f'say in {SETTINGS_FILE} beside it how they are named ("{missing[0]}_token": '
                '"..."), or give the vocabulary that came with the model',
            )
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = found.values()
        self.added = {
            number: token
            for number, token in settings.added.items()
            if self.num_trained <= number < len(self.pieces) and number not in found.values()
        }
        self._matcher = AddedTokenMatcher(self.added, self.lower_case) if self.added else None

    def changed_settings(self, defaults: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The part of `settings` that says how this vocabulary differs from a usual one."""
        values: dict[str, Any] = {}
        roles = dict(zip(ROLES, self._special_numbers(), strict=True))
        names = {role: self.pieces[number] for role, number in roles.items()}
        if any(name != defaults[role][0] for role, name in names.items()):
            values["special"] = names
        if self.added:
            values["added"] = {str(number): asdict(token) for number, token in self.added.items()}
        return values

    def _special_numbers(self) -> tuple[int, ...]:
        return (self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id)

    @property
    def vocab_size(self) -> int:
        """Number of pieces, special ones included."""
        return len(self.pieces)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that ordinary text never gets, and the unknown piece."""
        added = [number for number, token in self.added.items() if token.special]
        return frozenset((*self._special_numbers(), *added))

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex over the vocabulary file and every setting that changes ids."""
        settings = json.dumps(self.settings(), sort_keys=True).encode()
        return hashlib.sha256(settings + b"\n" + self.vocabulary_bytes()).hexdigest()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything besides the vocabulary that changes ids."""

    @abstractmethod
    def vocabulary_bytes(self) -> bytes:
        """Content of the vocabulary file."""

    @abstractmethod
    def plain_vocabulary(self) -> tuple[str, bytes] | None:
        """The vocabulary alone as ("spiece.model" or "vocab.txt", content); None if it is neither.

        For formats that hold no settings: see `lost_without_settings`.
        """

    def lost_without_settings(self) -> list[str]:
        """What a format that holds the vocabulary file alone cannot hold, in words."""
        lost = []
        if self.plain_vocabulary() is None:
            return [
                "the tokenizer: tokenizer.json is neither a SentencePiece model nor a vocab.txt"
            ]
        if not self.lower_case:
            lost.append("that the tokenizer keeps capitals: do_lower_case is a flag there")
        values = self.settings()
        lost += [text for key, text in _LOST.items() if key in values and values[key] != "keep"]
        if values.get("comma_rule", "google") != "google":
            lost.append("that the tokenizer cuts numbers with a comma as only transformers does")
        return lost

    @abstractmethod
    def _ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`ids_batch` for texts without added tokens."""

    @abstractmethod
    def _align_batch(self, texts: Sequence[str]) -> list[IdsAndOffsets]:
        """`align_batch` for texts without added tokens."""

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, no special tokens: the fast path."""
        if self._matcher is None:
            return list(chain.from_iterable(map(self._ids_batch, in_groups(texts))))
        return [ids for ids, _ in self.align_batch(texts)]

    def align(self, text: str) -> IdsAndOffsets:
        """The ids of `ids` with (start, end) of each in characters of the text."""
        return self.align_batch([text])[0]

    def align_batch(self, texts: Sequence[str]) -> list[IdsAndOffsets]:
        """`align` of each text, faster than one by one."""
        if self._matcher is not None:
            return self._matcher.align_around(texts, self._align_groups)
        return list(self._align_groups(texts))

    def _align_groups(self, texts: Sequence[str]) -> Iterator[IdsAndOffsets]:
        return chain.from_iterable(map(self._align_batch, in_groups(texts)))

    @abstractmethod
    def starts_word(self, piece_id: int) -> bool:
        """Whether a piece begins a word of its own (google's rule for masking whole words)."""

    @cached_property
    def _begins_word(self) -> list[bool]:
        return list(map(self.starts_word, range(self.vocab_size)))

    @abstractmethod
    def join(self, pieces: list[str]) -> str:
        """Readable text of pieces."""

    @abstractmethod
    def save(self, folder: Path | str) -> None:
        """Write vocabulary, tokenizer.json and tokenizer_config.json into an existing folder."""

    def ids(self, text: str) -> list[int]:
        """Ids of a text, no special tokens."""
        return self.ids_batch([text])[0]

    def decode(self, ids: int | Sequence[int] | Ints, *, skip_special_tokens: bool = True) -> str:
        """Readable text of ids; special tokens left out, or shown as they are written.

        ids: one id or several, also as an array or tensor of one axis.

        Raises:
            TokenizationError: an id is outside the vocabulary.
        """
        unused = self.special_ids - {self.unk_id} if skip_special_tokens else frozenset()
        shown = [each for each in self._checked(ids) if each not in unused]
        if not self.added:
            return self.join([self.pieces[each] for each in shown])
        parts = [
            " ".join(self.pieces[each] for each in run)
            if added
            else self.join([self.pieces[each] for each in run])
            for added, run in groupby(shown, (self.added.keys() - self.inside).__contains__)
        ]
        return " ".join(part for part in parts if part)

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        max_tokens: int | None = None,
        truncate: Truncation = "longest_first",
        allow_mask: bool = False,
        add_special_tokens: bool = True,
    ) -> Encoding:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP] with segment ids 0 and 1.

        Args:
            text: any text; what looks like a special token in it stays ordinary text.
            pair: second segment.
            max_tokens: cut to this many tokens, special ones included.
            truncate: which segment to cut, from its end.
            allow_mask: let a literal [MASK], or the mask piece as it is written, become the mask
                token.
            add_special_tokens: False leaves [CLS] and [SEP] away.

        Raises:
            TokenizationError: the limit leaves no room, or the text cannot be encoded.
        """
        for each in (text, pair or ""):
            if not isinstance(each, str):
                raise not_texts(type(each).__name__)
        segments = self._tokens([text] if pair is None else [text, pair], allow_mask)
        ends = (self.cls_id, self.sep_id) if add_special_tokens else None
        return joined(segments, ends, max_tokens, truncate)

    def encode_batch(
        self, texts: Sequence[str] | Sequence[tuple[str, str | None]], **options: Any
    ) -> list[Encoding]:
        """`encode` for each text or (text, pair), faster; the options are those of `encode`."""
        pairs = [(each, None) if isinstance(each, str) else each for each in texts]
        counts = [1 if second is None else 2 for _, second in pairs]
        given = [text for text in chain.from_iterable(pairs) if text is not None]
        allow_mask = options.pop("allow_mask", False)
        ends = (self.cls_id, self.sep_id) if options.pop("add_special_tokens", True) else None
        segments = iter(self._tokens(given, allow_mask))
        return [joined(list(islice(segments, count)), ends, **options) for count in counts]

    def mask_spans(self, text: str) -> list[tuple[int, int]]:
        """Where masks are written in a text, as [MASK] or as the mask piece: (start, end)."""
        names = "|".join(map(re.escape, (MASK, self.mask_token)))
        return [match.span() for match in re.finditer(names, text)]

    def _tokens(self, texts: Sequence[str], allow_mask: bool) -> list[Encoding]:
        """Tokens of each segment without special ones, except masks that were asked for."""
        begins_word = self._begins_word.__getitem__
        if not allow_mask:
            return [
                Encoding(ids, [], offsets, list(map(begins_word, ids)))
                for ids, offsets in self.align_batch(texts)
            ]
        # A space after [MASK] begins the next word by itself; without one the next piece
        # does so too, as in the original, which sees each part as a text of its own.
        spans = list(map(self.mask_spans, texts))
        begins = [[0, *(end for _, end in masks)] for masks in spans]
        stops = [[*(start for start, _ in masks), None] for masks in spans]
        parts = [
            text[begin:stop]
            for text, *edges in zip(texts, begins, stops, strict=True)
            for begin, stop in zip(*edges, strict=True)
        ]
        aligned = iter(self.align_batch(parts))
        made = []
        for masks in spans:
            ids, offsets = next(aligned)
            result = Encoding(ids, [], offsets, list(map(begins_word, ids)))
            for start, end in masks:
                ids, offsets = next(aligned)
                result.ids += [self.mask_id, *ids]
                result.offsets += [(start, end), *((end + a, end + b) for a, b in offsets)]
                result.word_starts += [True, *map(begins_word, ids)]
            made.append(result)
        return made
