"""A checkpoint in memory, and the way in: any path or name of any family to one `Checkpoint`.

checkpoint = Checkpoint.load("model.ckpt-best")    # folder, file, prefix, released name, hub id
opened = open_checkpoint("model.ckpt-best")        # the same, with the load report
opened.checkpoint, opened.family, opened.result.report
checkpoint.save("folder")                          # Hugging Face's layout

No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from albertkit.checkpoint import families
from albertkit.checkpoint.early_exit import read_exits
from albertkit.checkpoint.families import _beside
from albertkit.checkpoint.families._folder import write_folder
from albertkit.checkpoint.families._protocol import LoadResult, Overrides
from albertkit.checkpoint.finite import not_finite
from albertkit.checkpoint.formats.memory_map import Array
from albertkit.config import AlbertConfig
from albertkit.errors import AlbertkitError, VocabularyError
from albertkit.files import atomic_folder
from albertkit.hub import resolve
from albertkit.parameters import check_tensors
from albertkit.tasks.head import TaskHead
from albertkit.text.vocabulary_files import find_vocabulary

if TYPE_CHECKING:
    from albertkit.text.tokenizer import Tokenizer


@dataclass
class Checkpoint:
    """A model as numbers: config, tensors under our names in float32, tokenizer.

    The body is always there; pooler, masked-LM head and sentence-order head are there whole or
    not at all (English files of the hub have no sentence-order head). A fine-tuned checkpoint
    has the head of its task too. Tensors may be views of files; treat them as read-only. Without
    masked-LM head `config.head_layer_norm_eps` and `.tied_decoder` are set to their neutral values,
    since nothing is known of them.

    Raises:
        CheckpointError: a tensor is missing, left over, or of another shape.
    """

    config: AlbertConfig
    tensors: dict[str, Array]
    tokenizer: Tokenizer | None = None
    ignored: dict[str, str] = field(default_factory=dict)  # key or tensor of the source: reason
    special_ids: dict[str, int] = field(default_factory=dict)  # for a folder without tokenizer
    head: TaskHead | None = None
    exits: dict[str, Array] = field(default_factory=dict)  # see early_exit.py

    def __post_init__(self) -> None:
        if not self.has_masked_lm:
            eps = self.config.layer_norm_eps
            self.config = replace(self.config, head_layer_norm_eps=eps, tied_decoder=True)
        check_tensors(self.config, self.tensors, self.head)

    @property
    def fits_huggingface(self) -> list[str]:
        """Why transformers cannot run this model; an empty list says that it can."""
        return self.config.fits_huggingface + (self.head.fits_huggingface if self.head else [])

    def _has(self, part: str) -> bool:
        return any(name.startswith(part) for name in self.tensors)

    @property
    def has_pooler(self) -> bool:
        """Whether rows have a pooled vector."""
        return self._has("albert.pooler.")

    @property
    def has_masked_lm(self) -> bool:
        """Whether masked words can be predicted."""
        return self._has("masked_lm.")

    @property
    def has_sentence_order(self) -> bool:
        """Whether the order of two segments can be judged."""
        return self._has("sentence_order.")

    @classmethod
    def load(
        cls,
        source: Path | str,
        *,
        family: str | None = None,
        overrides: Overrides | None = None,
        tokenizer: Path | str | None = None,
        offline: bool | None = None,
    ) -> Checkpoint:
        """Read any ALBERT; arguments and errors as `open_checkpoint`, which also gives the report.

        Args:
            source: folder, weights file, prefix of a TensorFlow checkpoint, name of a released
                model, or hub id.
            family, overrides, tokenizer, offline: see `open_checkpoint`.
        """
        opened = open_checkpoint(
            source, family=family, overrides=overrides, tokenizer=tokenizer, offline=offline
        )
        return opened.checkpoint

    def add_words(self, words: Iterable[str]) -> Checkpoint:
        """This model with more words in its vocabulary; text without them is cut as before.

        The row of a word in the embeddings begins as the mean of the rows of its old pieces, its
        output bias as the smallest of theirs: it is no more frequent than the rarest. Words that
        are one piece already are left as they are.

        Raises:
            VocabularyError: there is no tokenizer, it cannot get words, or a word cannot be a
                piece.
        """
        from albertkit.checkpoint.words import with_words
        from albertkit.text.added_words import add_words

        if self.tokenizer is None:
            raise VocabularyError(
                "Words are added to a tokenizer, and this model has none.",
                expected="a vocabulary beside its weights",
                found="none",
                fix="open the model with one: tokenizer='spiece.model'",
                command_fix="give the folder of a model that has one",
            )
        return with_words(self, add_words(self.tokenizer, words))

    def save(
        self,
        folder: Path | str,
        model_card: str | None = None,
        *,
        replace: bool = False,
        dtype: str = "float32",
    ) -> None:
        """Write a checkpoint folder whole or not at all.

        Args:
            folder: the place; must be free unless `replace`.
            model_card: text of README.md.
            replace: put it in the place of what is there.
            dtype: float32, float16 or bfloat16; for fp16 and bf16 the numbers are rounded.

        Raises:
            OutputError: the place is taken or cannot be written.
            VocabularyError: the tokenizer does not fit the config.
        """
        with atomic_folder(Path(folder), replace=replace) as temporary:
            self.fill(temporary, model_card, dtype=dtype)

    def fill(self, folder: Path, model_card: str | None = None, *, dtype: str = "float32") -> None:
        """Write the files of `save` into an empty folder that the caller moves into place."""
        write_folder(self, folder, dtype)
        if model_card is not None:
            (folder / "README.md").write_text(model_card, encoding="utf-8")


@dataclass
class Opened:
    """A checkpoint of any family in memory, and how it was read."""

    checkpoint: Checkpoint
    family: str
    path: Path  # what the family claimed: a file, or the prefix of several
    result: LoadResult
    tokenizer_error: VocabularyError | None = None  # why the one beside the weights is not used

    def use_tokenizer(self, place: Path, lower_case: bool | None = None) -> None:
        """Open the tokenizer at a place for the checkpoint; lower_case instead of its settings.

        Raises:
            VocabularyError: it cannot be read, or does not fit the config.
        """
        result, problems = self.result, self.result.problems
        tokenizer = _beside.open_tokenizer(place, result.config, problems, lower_case)
        if result.check_ids:
            result.special_ids = _beside.check_special_ids(result.special_ids, tokenizer, problems)
            self.checkpoint.special_ids = result.special_ids
        self.checkpoint.tokenizer = tokenizer
        result.tokenizer = find_vocabulary(place)

    def require_tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer.

        Raises:
            VocabularyError: there is none, or it cannot be used.
        """
        if self.checkpoint.tokenizer is None:
            raise self.tokenizer_error or VocabularyError(
                "This model has no tokenizer.",
                expected="a vocabulary beside its weights",
                found="none",
                where=self.path,
                fix="give the vocabulary that came with it, such as spiece.model or vocab.txt",
            )
        return self.checkpoint.tokenizer

    def leave_out_tokenizer(self, error: VocabularyError) -> None:
        """The weights can be shown and converted all the same; text cannot be read."""
        self.tokenizer_error = error
        self.result.problems.append("the tokenizer is not used. " + " ".join(str(error).split()))


def open_checkpoint(
    source: Path | str,
    *,
    family: str | None = None,
    overrides: Overrides | None = None,
    tokenizer: Path | str | None = None,
    offline: bool | None = None,
    look_for_nan: bool = True,
) -> Opened:
    """Read a checkpoint of any family.

    Args:
        source: folder, weights file or prefix; or the name of a released model (`albertkit models`)
            or a hub id, which is downloaded if it is not in the cache.
        family: its name; detected from the files if left out.
        overrides: what the files do not say.
        tokenizer: spiece.model, vocab.txt or tokenizer.json; by default the one beside the weights.
        offline: never ask the network; None: as the environment variable HF_HUB_OFFLINE says.
        look_for_nan: read all numbers once and say which are NaN or infinite.

    Raises:
        CheckpointError: nothing there, of an unknown kind, damaged, or config and tensors differ.
        ConfigError: the config describes no ALBERT, or leaves a choice open.
        VocabularyError: the tokenizer that was named does not fit; one beside the weights that does
            not fit is left out, with the error in `tokenizer_error`.
        DownloadError: a name whose files are not in the cache and cannot be fetched.
    """
    family, found = families.claim(resolve(source, offline=offline), family)
    try:
        result = families.named(family).read(found, overrides or Overrides())
        checkpoint = Checkpoint(
            result.config,
            result.tensors,
            ignored=dict(result.report.ignored),
            special_ids=result.special_ids,
            head=result.head,
            exits=read_exits(found, result.config, result.head),
        )
        if look_for_nan:
            result.problems += not_finite(result.tensors)
    except AlbertkitError as error:
        if "where" not in error.facts:
            error.at(found)
        raise
    opened = Opened(checkpoint, family, found, result)
    if tokenizer is not None:
        opened.use_tokenizer(Path(tokenizer))
    elif result.tokenizer is not None:
        try:
            opened.use_tokenizer(result.tokenizer, result.lower_case)
        except VocabularyError as error:
            opened.leave_out_tokenizer(error)
    return opened
