"""The calls of transformers' tokenizers, for code that moves over.

encoded = tokenizer(["a text", "another"], padding=True, return_tensors="pt")
model(**encoded)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from albertkit.errors import TokenizationError
from albertkit.plugins import need_package
from albertkit.text.encoding import TRUNCATIONS, Encoding, Truncation

Ints = npt.NDArray[np.int64]
Texts = str | Sequence[str] | Sequence[tuple[str, str]]

PADDINGS = (True, False, "longest", "max_length")
MODEL_MAX_LENGTH = 512  # positions of every released ALBERT
NO_LIMIT = 1_000_000  # transformers writes 10 ** 30 for none
# What makes a tensor of an array, by transformers' name for the framework. Named and not imported:
# text needs numpy alone, and who asks for a framework's tensors has it.
_FROM_NUMPY = {"pt": ("torch", "from_numpy"), "tf": ("tensorflow", "constant")}


class BatchEncoding(dict[str, Any]):
    """`input_ids`, `token_type_ids` and `attention_mask` of texts: `model(**encoded)`.

    Lists of integers, or with `return_tensors` arrays or tensors (B, T), int64. The keys are
    attributes too.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}; there are: {', '.join(self)}") from None

    def to(self, device: Any) -> BatchEncoding:
        """The same on a device of torch.

        Raises:
            TokenizationError: these are not tensors.
        """
        if not all(hasattr(value, "to") for value in self.values()):
            raise TokenizationError(
                "Only tensors can be moved to a device.",
                expected="tensors of torch",
                found=", ".join(sorted({type(value).__name__ for value in self.values()})),
                fix='call the tokenizer with return_tensors="pt"',
            )
        return BatchEncoding({key: value.to(device) for key, value in self.items()})


class TransformersCalls(ABC):
    """What code written for transformers asks of a tokenizer, made of `encode` and `decode`."""

    pieces: list[str]  # by id
    pad_id: int
    unk_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    extra: dict[str, Any]  # what tokenizer_config.json said

    @abstractmethod
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
        """Tokens of one text or pair."""

    @abstractmethod
    def encode_batch(
        self, texts: Sequence[str] | Sequence[tuple[str, str | None]], **options: Any
    ) -> list[Encoding]:
        """Tokens of several, with the options of `encode`."""

    @abstractmethod
    def decode(self, ids: int | Sequence[int] | Ints, *, skip_special_tokens: bool = True) -> str:
        """Text of ids."""

    @property
    @abstractmethod
    def special_ids(self) -> frozenset[int]:
        """Ids that ordinary text never gets, and the unknown piece."""

    def __call__(
        self,
        text: Texts,
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_offsets_mapping: bool = False,
    ) -> BatchEncoding:
        """The arguments of a model for one text or several.

        [MASK] in a text is the mask token; other special tokens in it stay text.

        Args:
            text: a text, a list of texts, or a list of pairs.
            text_pair: the second text of each.
            add_special_tokens: put [CLS] and [SEP] around the texts.
            padding: True or "longest" fills up to the longest one, "max_length" to `max_length`.
            truncation: True or "longest_first" cuts to `max_length` the longer of a pair, or
                "only_first", "only_second". Left out, texts are cut if `max_length` is given
                without `padding`, as in transformers.
            max_length: number of tokens, special ones included; `model_max_length` if left out.
            return_tensors: "np" for arrays of numpy, "pt" or "tf" for tensors of torch or
                TensorFlow, else lists.
            return_offsets_mapping: also give `offset_mapping`, the characters (start, end) of each
                token in its text; (0, 0) for [CLS], [SEP] and padding.

        Raises:
            TokenizationError: something else than texts, an unknown choice, a limit without room
                for the text, or texts of several lengths for a tensor without padding.
        """
        if truncation is None:
            truncation = max_length is not None and padding is False
        truncate = _chosen("truncation", truncation, (True, False, *TRUNCATIONS))
        _chosen("padding", padding, PADDINGS)
        _chosen("return_tensors", return_tensors, (None, "np", *_FROM_NUMPY))
        limit = self.model_max_length if max_length is None else max_length
        encodings = self.encode_batch(
            _pairs(text, text_pair),
            max_tokens=limit if truncate else None,
            truncate="longest_first" if truncate in (True, False) else truncate,
            allow_mask=True,
            add_special_tokens=add_special_tokens,
        )
        width = limit if padding == "max_length" else 0
        if padding in (True, "longest"):
            width = max(map(len, encodings), default=0)
        values = self._filled_up(encodings, width)
        if return_offsets_mapping:
            values["offset_mapping"] = [
                [*each.offsets, *[(0, 0)] * (width - len(each))] for each in encodings
            ]
        if return_tensors is not None:
            return _tensors(values, return_tensors)
        return BatchEncoding(
            {key: lists[0] if isinstance(text, str) else lists for key, lists in values.items()}
        )

    def _filled_up(self, encodings: Sequence[Encoding], width: int) -> dict[str, list[list[Any]]]:
        """What a model takes of encodings, each filled up to a width."""
        spare = [max(0, width - len(each)) for each in encodings]
        parts = list(zip(encodings, spare, strict=True))
        return {
            "input_ids": [each.ids + [self.pad_id] * more for each, more in parts],
            "token_type_ids": [each.segment_ids + [0] * more for each, more in parts],
            "attention_mask": [[1] * len(each) + [0] * more for each, more in parts],
        }

    def batch_decode(
        self, sequences: Iterable[Sequence[int] | Ints], *, skip_special_tokens: bool = True
    ) -> list[str]:
        """`decode` for each sequence of ids."""
        return [self.decode(ids, skip_special_tokens=skip_special_tokens) for ids in sequences]

    def tokenize(self, text: str, pair: str | None = None) -> list[str]:
        """Pieces of a text; [MASK] is the mask piece, and there is no [CLS] or [SEP]."""
        ids = self.encode(text, pair, allow_mask=True, add_special_tokens=False)
        return [self.pieces[each] for each in ids]

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int]:
        """Id of a piece, or of each of several; `unk_token_id` for one that is not there."""
        if isinstance(tokens, str):
            return self._ids_by_piece.get(tokens, self.unk_id)
        return [self._ids_by_piece.get(each, self.unk_id) for each in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, *, skip_special_tokens: bool = False) -> str: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Sequence[int] | Ints, *, skip_special_tokens: bool = False
    ) -> list[str]: ...
    def convert_ids_to_tokens(
        self, ids: int | Sequence[int] | Ints, *, skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The piece of an id, or the pieces of several, also of an array or tensor (T,).

        Raises:
            TokenizationError: an id is outside the vocabulary.
        """
        if isinstance(ids, int):
            return self.pieces[self._checked(ids)[0]]
        unused = self.special_ids if skip_special_tokens else frozenset()
        return [self.pieces[each] for each in self._checked(ids) if each not in unused]

    def _checked(self, ids: int | Sequence[int] | Ints) -> list[int]:
        """One id or several, also of an array or tensor, as integers of the vocabulary.

        Raises:
            TokenizationError: they are something else.
        """
        array = np.atleast_1d(np.asarray(ids))
        if array.ndim != 1 or array.size and array.dtype.kind not in "iu":
            raise TokenizationError(
                "The ids of one text are integers in one dimension.",
                expected="integers of shape (T,)",
                found=f"{array.dtype} of shape {array.shape}",
                fix="pass the ids of one text; batch_decode takes those of several",
            )
        if array.size and not 0 <= array.min() <= array.max() < len(self.pieces):
            raise TokenizationError(
                "An id is outside the vocabulary.",
                expected=f"0 to {len(self.pieces) - 1}",
                found=next(x for x in array.tolist() if not 0 <= x < len(self.pieces)),
                fix="use the tokenizer that made the ids",
            )
        return [int(each) for each in array]

    @cached_property
    def _ids_by_piece(self) -> dict[str, int]:
        return {piece: number for number, piece in enumerate(self.pieces)}

    def get_vocab(self) -> dict[str, int]:
        """Ids by piece."""
        return dict(self._ids_by_piece)

    def __len__(self) -> int:
        """Number of pieces, special and added ones included."""
        return len(self.pieces)

    @property
    def model_max_length(self) -> int:
        """Tokens that the model reads, as tokenizer_config.json says; 512 if it does not."""
        said = self.extra.get("model_max_length")
        return said if type(said) is int and 0 < said < NO_LIMIT else MODEL_MAX_LENGTH

    @property
    def all_special_ids(self) -> list[int]:
        """`special_ids` in ascending order."""
        return sorted(self.special_ids)

    @property
    def all_special_tokens(self) -> list[str]:
        """The pieces of `all_special_ids`."""
        return [self.pieces[each] for each in self.all_special_ids]

    @property
    def cls_token(self) -> str:
        """The piece before a text."""
        return self.pieces[self.cls_id]

    @property
    def sep_token(self) -> str:
        """The piece behind each text."""
        return self.pieces[self.sep_id]

    @property
    def pad_token(self) -> str:
        """The piece that fills up."""
        return self.pieces[self.pad_id]

    @property
    def unk_token(self) -> str:
        """The piece for what no other piece stands for."""
        return self.pieces[self.unk_id]

    @property
    def mask_token(self) -> str:
        """The piece of a word to predict."""
        return self.pieces[self.mask_id]

    @property
    def cls_token_id(self) -> int:
        """Id of `cls_token`."""
        return self.cls_id

    @property
    def sep_token_id(self) -> int:
        """Id of `sep_token`."""
        return self.sep_id

    @property
    def pad_token_id(self) -> int:
        """Id of `pad_token`."""
        return self.pad_id

    @property
    def unk_token_id(self) -> int:
        """Id of `unk_token`."""
        return self.unk_id

    @property
    def mask_token_id(self) -> int:
        """Id of `mask_token`."""
        return self.mask_id


def _chosen(name: str, value: Any, known: Sequence[Any]) -> Any:
    """A value if it is one of the known ones; an error else."""
    if not any(value is each or isinstance(each, str) and value == each for each in known):
        raise TokenizationError(
            f"Unknown value of {name}.",
            expected=", ".join(map(repr, known)),
            found=repr(value),
            fix="pass one of these",
        )
    return value


def _pairs(text: Texts, text_pair: str | Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Each text with its second one, or None.

    Raises:
        TokenizationError: something else than a text, or not a second text for each.
    """
    firsts: list[Any] = [text] if isinstance(text, str) else _listed(text)
    if text_pair is None:
        pairs = [tuple(x) if isinstance(x, (tuple, list)) else (x, None) for x in firsts]
    else:
        seconds = [text_pair] if isinstance(text_pair, str) else _listed(text_pair)
        if isinstance(text, str) != isinstance(text_pair, str) or len(firsts) != len(seconds):
            raise TokenizationError(
                "Each text needs its second text.",
                expected="two texts, or two lists of one length",
                found=f"{len(firsts)} and {len(seconds)}",
                fix="pass one text_pair for each text, both as a str or both as lists",
            )
        pairs = list(zip(firsts, seconds, strict=True))
    for number, pair in enumerate(pairs):
        second = pair[-1]
        if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(second, str | None):
            raise not_texts(f"text number {number + 1}: {str(firsts[number])[:60]!r}")
    return pairs


def _listed(texts: Any) -> list[Any]:
    if not isinstance(texts, Sequence) or isinstance(texts, bytes):
        raise not_texts(type(texts).__name__)
    return list(texts)


def not_texts(found: str) -> TokenizationError:
    """The error for something else than texts."""
    return TokenizationError(
        "The input is not text.",
        expected="a str, a list of str, or a list of pairs of str",
        found=found,
        fix="pass each text as one str; texts cut into words are joined first: ' '.join(words)",
    )


def _tensors(values: dict[str, list[list[Any]]], kind: str) -> BatchEncoding:
    """Lists of one length as arrays (B, T) of numpy, or as tensors of a framework.

    Offsets have the shape (B, T, 2).

    Raises:
        TokenizationError: the lists have several lengths.
        AlbertkitError: the framework is not installed.
    """
    lengths = {len(row) for row in values["input_ids"]}
    if len(lengths) > 1:
        raise TokenizationError(
            "Texts of different lengths do not fit in one tensor.",
            expected="texts of one number of tokens, or padding",
            found=f"{min(lengths)} to {max(lengths)} tokens",
            fix="pass padding=True",
        )
    shape = (len(values["input_ids"]), max(lengths, default=0))
    shapes = {"offset_mapping": (*shape, 2)}
    arrays = {
        key: np.array(rows, np.int64).reshape(shapes.get(key, shape))
        for key, rows in values.items()
    }
    if kind == "np":
        return BatchEncoding(arrays)
    name, function = _FROM_NUMPY[kind]
    module = import_module(name) if kind == "pt" else need_package(name, extra=name)
    tensor = getattr(module, function)
    return BatchEncoding({key: tensor(array) for key, array in arrays.items()})
