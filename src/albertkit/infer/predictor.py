"""Ask a checkpoint: fill masks, judge the order of two texts, give vectors, classify.

    predictor = Predictor("folder")
    predictor.fill_mask("Paris is the [MASK] of France.", top_k=5)

One text gives one answer, a list of texts gives a list; an answer does not depend on the texts
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt
import torch

from albertkit.checkpoint import families
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.errors import PredictionError, TextError
from albertkit.infer.answers import (
    Candidate,
    Classification,
    Filling,
    Fillings,
    HiddenStates,
    TokenLabels,
)
from albertkit.infer.batches import by_length, choose_device, pack
from albertkit.infer.fill_mask import Beam, best_ids, put_pieces, search
from albertkit.infer.tasks import CLASSIFYING, classify, label_tokens, need_head
from albertkit.infer.texts import as_list, as_pairs, shown
from albertkit.model.loading import build, build_body, build_task
from albertkit.model.packing import first_segment
from albertkit.text.encoding import Encoding

MASK = "[MASK]"
POOLINGS = ("mean", "cls", "pooled")
_SMALLEST_BEAM = 16  # fillings followed at least: a good one may begin with a poor token

Floats = npt.NDArray[np.float32]


class Predictor:
    """A checkpoint of any family, ready to answer.

    folder: a checkpoint folder, a weights file, or the prefix of several (`families.open`).
    device: cpu, cuda, cuda:1, mps, or auto. batch_size: most rows in one run of the network.
    tokenizer: spiece.model, vocab.txt or tokenizer.json, if it does not lie beside the weights.
    overrides: what the files do not say, see `formats.family.Overrides`.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "cpu",
        *,
        batch_size: int = 32,
        tokenizer: str | Path | None = None,
        overrides: Overrides | None = None,
        family: str | None = None,
    ) -> None:
        checkpoint = families.open(
            folder, family=family, tokenizer=tokenizer, overrides=overrides
        ).checkpoint
        if checkpoint.tokenizer is None:
            raise PredictionError(
                "This checkpoint has no tokenizer.",
                expected="spiece.model, vocab.txt or tokenizer.json beside the weights",
                where=folder,
                fix="pass tokenizer='spiece.model', the vocabulary that the model was trained with",
                command_fix="add --tokenizer spiece.model, the vocabulary that the model was "
                "trained with",
            )
        self.folder = Path(folder)
        self.config = checkpoint.config
        self.tokenizer = checkpoint.tokenizer
        self.device = choose_device(device)
        self.batch_size = batch_size
        model = build(checkpoint) if checkpoint.has_masked_lm else None
        self._pretrained = None if model is None else model.to(self.device)
        self._body = build_body(checkpoint).to(self.device) if model is None else model.albert
        task = build_task(checkpoint, self._body) if checkpoint.head is not None else None
        self._task = None if task is None else task.to(self.device)
        self._pack = partial(pack, device=self.device, first_segment=first_segment(self.config))
        special = sorted(self.tokenizer.special_ids)
        self._barred = np.zeros(self.config.vocab_size, dtype=np.bool_)
        self._barred[special] = True
        self._barred[self.tokenizer.vocab_size :] = True  # rows of the table without a piece

    @overload
    def fill_mask(self, text: str, top_k: int = 5, *, truncate: bool = False) -> Fillings: ...
    @overload
    def fill_mask(
        self, text: list[str], top_k: int = 5, *, truncate: bool = False
    ) -> list[Fillings]: ...
    def fill_mask(
        self, text: str | list[str], top_k: int = 5, *, truncate: bool = False
    ) -> Fillings | list[Fillings]:
        """Fill every [MASK] of a text; the `top_k` most probable fillings, the best first.

        Several masks are filled together by the chain rule (see `masks.py`); `.masks` of the
        answer has the candidates of each mask alone. Probabilities are over the whole vocabulary;
        special tokens are never offered. truncate: cut a text that is too long at its end (an
        error if a mask would be lost).
        """
        if top_k < 1:
            raise PredictionError(
                "There is nothing to give.", expected="top_k of 1 or more", found=top_k
            )
        model = self._need_masked_lm()
        texts = as_list(text)
        for number, one in enumerate(texts):
            if MASK not in one:
                raise TextError(
                    "The text has no mask.",
                    expected=f"{MASK} where a word is missing",
                    found=shown(one, number, texts),
                    fix=f"write {MASK}, in capitals and square brackets",
                )
        encodings = self._encode(texts, None, truncate, allow_mask=True)
        del model
        places = [self._places(e, t) for e, t in zip(encodings, texts, strict=True)]
        first = self._score(encodings, places)
        fillings = [
            self._fill(*question, top_k)
            for question in zip(texts, encodings, places, first, strict=True)
        ]
        return fillings[0] if isinstance(text, str) else fillings

    @overload
    def order(self, a: str, b: str, *, truncate: bool = False) -> float: ...
    @overload
    def order(self, a: list[str], b: list[str], *, truncate: bool = False) -> Floats: ...
    def order(
        self, a: str | list[str], b: str | list[str], *, truncate: bool = False
    ) -> float | Floats:
        """Probability that `a` comes before `b` in one text (sentence-order prediction).

        Lists give one probability for each pair. Lan et al. 2019, section 3.1; google's label 1
        is "swapped", so this is 1 - p(1).
        """
        model = self._pretrained
        if model is None or model.sentence_order is None:
            raise PredictionError(
                "This checkpoint cannot judge the order of texts.",
                expected="a sentence-order head",
                found="a checkpoint without it (those published on the hub have none)",
                where=self.folder,
                fix="use a checkpoint that was pretrained with sentence order",
            )
        encodings = self._encode(*as_pairs(a, b), truncate)
        answers = np.zeros(len(encodings), dtype=np.float32)
        with torch.inference_mode():
            for indices in by_length([len(e.ids) for e in encodings], self.batch_size):
                rows = self._pack(encodings, indices)
                pooled = self._body(rows.ids, rows.types, lengths=rows.lengths).pooled
                in_order = model.sentence_order(pooled).float().softmax(-1)[:, 0]
                answers[indices] = in_order.cpu().numpy()
        return float(answers[0]) if isinstance(a, str) else answers

    def embed(
        self,
        texts: str | Sequence[str],
        pooling: str = "mean",
        *,
        normalize: bool = False,
        truncate: bool = False,
        batch_size: int | None = None,
    ) -> Floats:
        """Vectors of texts: (H,) of one text, (N, H) of a list, in its order.

        pooling: mean of all tokens ([CLS] and [SEP] too, as sentence-transformers does), cls the
        last layer at [CLS], pooled the same through the pooler. normalize: to length 1.
        truncate: cut texts that are too long at their end; otherwise they are an error.
        """
        if pooling not in POOLINGS:
            raise PredictionError(
                "There is no such pooling.", expected=", ".join(POOLINGS), found=pooling
            )
        if pooling == "pooled" and self._body.pooler is None:
            raise PredictionError(
                "This checkpoint has no pooler.",
                expected="a pooler for pooling='pooled'",
                where=self.folder,
                fix="pass pooling='mean' or pooling='cls'",
                command_fix="use --pooling mean or --pooling cls",
            )
        encodings = self._encode(as_list(texts), None, truncate)
        vectors = np.zeros((len(encodings), self.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            size = self.batch_size if batch_size is None else batch_size
            for indices in by_length([len(e.ids) for e in encodings], size):
                rows = self._pack(encodings, indices)
                output = self._body(rows.ids, rows.types, lengths=rows.lengths)
                if pooling == "pooled":
                    batch = output.pooled
                elif pooling == "cls":
                    batch = output.tokens[rows.starts]
                else:
                    batch = torch.stack(
                        [row.float().mean(0) for row in output.tokens.split(rows.lengths.tolist())]
                    )
                vectors[indices] = batch.float().cpu().numpy()
        if normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors[0] if isinstance(texts, str) else vectors

    def hidden_states(self, text: str, *, truncate: bool = False) -> HiddenStates:
        """Every layer's vector of every token of one text, with the tokens and their characters."""
        encoding = self._encode([text], None, truncate)[0]
        rows = self._pack([encoding], [0])
        with torch.inference_mode():
            output = self._body(rows.ids, rows.types, lengths=rows.lengths, return_all=True)
        layers = torch.stack(list(output.hidden_states)).float().cpu().numpy()
        return HiddenStates(
            pieces=tuple(self.tokenizer.pieces[i] for i in encoding.ids),
            offsets=tuple(encoding.offsets),
            layers=layers,
        )

    @overload
    def classify(
        self, text: str, pair: str | None = None, *, truncate: bool = False
    ) -> Classification: ...
    @overload
    def classify(
        self, text: list[str], pair: list[str] | None = None, *, truncate: bool = False
    ) -> list[Classification]: ...
    def classify(
        self, text: str | list[str], pair: str | list[str] | None = None, *, truncate: bool = False
    ) -> Classification | list[Classification]:
        """What a fine-tuned head says about a text, or about a text and its pair.

        For heads that classify texts, with one class or several of them, or give a number.
        """
        task = need_head(self._task, self.folder, CLASSIFYING)
        firsts, seconds = as_pairs(text, pair)
        encodings = self._encode(firsts, seconds, truncate)
        answers = classify(task, encodings, self._pack, self.batch_size)
        return answers[0] if isinstance(text, str) else answers

    @overload
    def label_tokens(self, text: str, *, truncate: bool = False) -> TokenLabels: ...
    @overload
    def label_tokens(self, text: list[str], *, truncate: bool = False) -> list[TokenLabels]: ...
    def label_tokens(
        self, text: str | list[str], *, truncate: bool = False
    ) -> TokenLabels | list[TokenLabels]:
        """The class of each word piece, by a head fine-tuned for token classification."""
        task = need_head(self._task, self.folder, ("token_classification",))
        texts = as_list(text)
        encodings = self._encode(texts, None, truncate)
        answers = label_tokens(task, texts, encodings, self._pack, self.batch_size, self.tokenizer)
        return answers[0] if isinstance(text, str) else answers

    def _need_masked_lm(self) -> torch.nn.Module:
        if self._pretrained is None:
            raise PredictionError(
                "This checkpoint cannot fill masks.",
                expected="a masked-LM head",
                found="the body alone",
                where=self.folder,
                fix="use a checkpoint that was saved with its pretraining heads",
            )
        return self._pretrained

    def _encode(
        self,
        texts: list[str],
        seconds: list[str] | None,
        truncate: bool,
        allow_mask: bool = False,
    ) -> list[Encoding]:
        """Encode everything before anything is computed, so that errors come at once."""
        limit = self.config.max_position_embeddings
        for number, text in enumerate([*texts, *(seconds or [])]):
            if not text.strip():
                raise TextError(
                    "A text is empty.",
                    expected="at least one character that is no space",
                    found=f"text number {number % len(texts) + 1} of {len(texts)}",
                )
        whole = [
            self.tokenizer.encode(
                text, None if seconds is None else seconds[n], allow_mask=allow_mask
            )
            for n, text in enumerate(texts)
        ]
        for number, encoding in enumerate(whole):
            if len(encoding.ids) <= limit:
                continue
            if not truncate:
                raise TextError(
                    "A text is longer than the model can read.",
                    expected=f"at most {limit} tokens, special tokens included",
                    found=f"{len(encoding.ids)} tokens: {shown(texts[number], number, texts)}",
                    fix="shorten or split it, or pass truncate=True to cut it",
                    command_fix="shorten or split it, or add --truncate to cut it",
                )
            whole[number] = self.tokenizer.encode(
                texts[number],
                None if seconds is None else seconds[number],
                max_tokens=limit,
                allow_mask=allow_mask,
            )
        return whole

    def _places(self, encoding: Encoding, text: str) -> list[int]:
        """Where in the row the masks stand; an error if truncation lost one."""
        places = [n for n, i in enumerate(encoding.ids) if i == self.tokenizer.mask_id]
        if len(places) != text.count(MASK):
            raise TextError(
                "The text is so long that a mask would be cut off.",
                expected=f"every {MASK} in the first {self.config.max_position_embeddings} tokens",
                found=f"{len(places)} of {text.count(MASK)} masks there",
                fix="shorten the text around the mask",
            )
        return places

    def _score(
        self, encodings: Sequence[Encoding], places: Sequence[Sequence[int]]
    ) -> list[Floats]:
        """Log-probabilities (masks, V) at the masks of each row."""
        model = self._need_masked_lm()
        answers: list[Floats] = [np.zeros((0, 0), dtype=np.float32)] * len(encodings)
        with torch.inference_mode():
            for indices in by_length([len(e.ids) for e in encodings], self.batch_size):
                rows = self._pack(encodings, indices)
                at = [s + p for s, i in zip(rows.starts, indices, strict=True) for p in places[i]]
                logits = model(
                    rows.ids,
                    rows.types,
                    lengths=rows.lengths,
                    target_positions=torch.tensor(at, device=self.device),
                ).mlm_logits
                parts = (
                    logits.float().log_softmax(-1).cpu().split([len(places[i]) for i in indices])
                )
                for index, part in zip(indices, parts, strict=True):
                    answers[index] = part.numpy()
        return answers

    def _fill(
        self, text: str, encoding: Encoding, places: list[int], first: Floats, top_k: int
    ) -> Fillings:
        def score(rows: Sequence[Sequence[int]]) -> Floats:
            filled = [
                Encoding(list(row), encoding.types, encoding.offsets, encoding.word_starts)
                for row in rows
            ]
            return np.stack(self._score(filled, [places] * len(filled)))

        width = max(top_k, _SMALLEST_BEAM)
        beams = search(score, encoding.ids, places, first, width=width, barred=self._barred)
        spans = [encoding.offsets[place] for place in places]
        return Fillings(
            text=text,
            best=tuple(self._filling(text, spans, beam) for beam in beams[:top_k]),
            masks=tuple(
                tuple(
                    Candidate(self.tokenizer.pieces[i], i, float(np.exp(line[i])))
                    for i in best_ids(line, top_k, self._barred)
                )
                for line in first
            ),
        )

    def _filling(self, text: str, spans: list[tuple[int, int]], beam: Beam) -> Filling:
        pieces = tuple(self.tokenizer.pieces[i] for i in beam.ids)
        return Filling(
            text=put_pieces(text, spans, pieces, self.tokenizer.kind),
            tokens=pieces,
            ids=beam.ids,
            probability=float(np.exp(beam.score)),
        )
