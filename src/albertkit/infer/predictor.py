"""Ask a model: fill masks, judge the order of two texts, give vectors, classify, tag, answer.

    predictor = Predictor("folder")
    predictor.fill_mask("Paris is the [MASK] of France.", top_k=5)

One text gives one answer, a list of texts gives a list; an answer does not depend on the texts
beside it. What computes is an engine (`infer/engine.py`); here are the questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from albertkit.errors import PredictionError
from albertkit.infer import reading, tasks
from albertkit.infer.answers import Classification, Fillings, HiddenStates, Tags, TokenLabels
from albertkit.infer.fill_mask import (
    mask_positions,
    refuse_many,
    refuse_unmasked,
    score_masks,
    scorer_of,
)
from albertkit.infer.opening import ModelOfTexts
from albertkit.infer.texts import as_list, as_pairs, as_questions, encode_texts, refuse_empty
from albertkit.tasks import choose
from albertkit.tasks.classify import encode, log_softmax
from albertkit.tasks.examples import SpanExample, TextExample
from albertkit.tasks.rows import Rows
from albertkit.tasks.span_answers import MAX_ANSWER_TOKENS
from albertkit.tasks.windows import Windows
from albertkit.text.encoding import Encoding

POOLINGS = ("mean", "cls", "pooled")

Floats = npt.NDArray[np.float32]


class Predictor(ModelOfTexts):
    """A model of any family, ready to answer; called, it does what its head does.

    source: a checkpoint folder, a weights file, the prefix of several, or a name
    (`open_checkpoint`); or an `Engine`, which computes a model already (then `tokenizer` is
    needed). Left out, the first texts choose: albertkit/tiny-zh where they have Chinese
    characters, else albertkit/tiny-en; a line on standard error says which.
    device: cpu, cuda, cuda:1, mps, or auto. batch_tokens: most tokens in one run of the network
    (see `by_length`), None: 1,024 on a CPU and 4,096 elsewhere; texts of like length go together.
    batch_size: most texts in one run; None: as many as batch_tokens allows.
    tokenizer: spiece.model, vocab.txt or tokenizer.json, if it is not beside the weights.
    overrides: what the files do not say. engine: what computes, by name; auto tries which is the
    fastest (`auto_engine.py`); None: PyTorch, or what an exported folder is for. precision, threads
    and calibrate: see `EngineSettings`. offline: never ask the network; None: as HF_HUB_OFFLINE
    says.
    patience: for a model that was fine-tuned with early exit; a text leaves the network when so
    many classifiers in a row agree with the one before them. None uses every layer. `used.mean` is
    how many layers the texts so far used on average.
    progress: over several batches, True shows a bar; a function is called with (what, done, total).
    """

    def __call__(self, *texts: Any, **options: Any) -> Any:
        """Ask what the model's head is for: classify, tag, answer or choose; else fill masks."""
        head = None if self._model is None else self.head
        name = "fill_mask" if head is None else tasks.METHODS[head.traits.task]
        return getattr(self, name)(*texts, **options)

    @overload
    def fill_mask(
        self,
        text: str,
        top_k: int = 5,
        *,
        truncate: bool = False,
        independent: bool | None = None,
    ) -> Fillings: ...
    @overload
    def fill_mask(
        self,
        text: list[str],
        top_k: int = 5,
        *,
        truncate: bool = False,
        independent: bool | None = None,
    ) -> list[Fillings]: ...
    def fill_mask(
        self,
        text: str | list[str],
        top_k: int = 5,
        *,
        truncate: bool = False,
        independent: bool | None = None,
    ) -> Fillings | list[Fillings]:
        """Fill every [MASK] of a text; the `top_k` most probable fillings, the best first.

        Several masks are filled together by the chain rule (see `fill_mask.py`); `.masks` of the
        answer has the candidates of each mask alone. Probabilities are over the whole vocabulary;
        special tokens are never offered.

        Args:
            text: one text, or a list of texts.
            top_k: how many fillings, and how many candidates of each mask.
            truncate: cut a text that is too long at its end (an error if a mask would be lost).
            independent: True fills each mask by itself in one run of the network; False fills
                them together however many there are; None does so up to 64 masks.
        """
        if top_k < 1:
            raise PredictionError(
                "top_k must be 1 or more.", found=top_k, fix="leave top_k out, or pass top_k=5"
            )
        texts = as_list(text)
        self.choose_model_for(texts)
        self._need(
            "masked_lm",
            "a masked-LM head",
            "use a checkpoint that was saved with its pretraining heads",
        )
        refuse_unmasked(texts, self.tokenizer)
        encodings = self._encode(texts, None, truncate, allow_mask=True)
        limit = self.config.max_position_embeddings
        positions = mask_positions(encodings, texts, self.tokenizer, limit)
        if independent is None:
            refuse_many(positions)
        first = score_masks(self.runner, encodings, positions)
        questions = zip(texts, encodings, positions, first, strict=True)
        fillings = [
            self._opened.filler.each_alone(*question, top_k)
            if independent
            else self._opened.filler.together(
                *question, top_k, scorer_of(replace(self.runner, progress=False), *question[1:3])
            )
            for question in questions
        ]
        return fillings[0] if isinstance(text, str) else fillings

    @overload
    def sentence_order(self, a: str, b: str, *, truncate: bool = False) -> float: ...
    @overload
    def sentence_order(self, a: list[str], b: list[str], *, truncate: bool = False) -> Floats: ...
    def sentence_order(
        self, a: str | list[str], b: str | list[str], *, truncate: bool = False
    ) -> float | Floats:
        """Probability that `a` comes before `b` in one text (sentence-order prediction).

        Lists give one probability for each pair. Lan et al. 2019, section 3.1; google's label 1
        is "swapped", so this is 1 - p(1).
        """
        firsts, seconds = as_pairs(a, as_list(b) if b is None else b)  # it refuses None
        self.choose_model_for([*firsts, *(seconds or [])])
        self._need(
            "sentence_order",
            "a sentence-order head (models published on the hub have none)",
            "use a checkpoint that was pretrained with sentence order",
        )
        encodings = self._encode(firsts, seconds, truncate)
        answers = np.zeros(len(encodings), dtype=np.float32)
        for outputs in self.runner.run(encodings, ("sentence_order",)):
            answers[outputs.indices] = np.exp(log_softmax(outputs["sentence_order"]))[:, 0]
        return float(answers[0]) if isinstance(a, str) else answers

    order = sentence_order  # its name in 0.1

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
                f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}.",
                fix="leave pooling out, or pass pooling='mean'",
                command_fix="leave --pooling out, or give --pooling mean",
            )
        listed = as_list(texts)
        self.choose_model_for(listed)
        if pooling == "pooled":
            self._need(
                "pooled",
                "a pooler for pooling='pooled'",
                "pass pooling='mean' or pooling='cls'",
                "use --pooling mean or --pooling cls",
            )
        encodings = self._encode(listed, None, truncate)
        vectors = np.zeros((len(encodings), self.config.hidden_size), dtype=np.float32)
        want = "pooled" if pooling == "pooled" else "hidden"
        size = self.batch_size if batch_size is None else batch_size
        for outputs in replace(self.runner, batch_size=size).run(encodings, (want,)):
            found, batch = outputs[want], outputs.batch
            if pooling == "cls":
                found = found[batch.starts]
            elif pooling == "mean":
                found = np.add.reduceat(found, batch.starts, axis=0)
                found /= batch.lengths[:, None].astype(np.float32)
            vectors[outputs.indices] = found
        if normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors[0] if isinstance(texts, str) else vectors

    def hidden_states(self, text: str, *, truncate: bool = False) -> HiddenStates:
        """Every layer's vector of every token of one text, with the tokens and their characters."""
        listed = as_list([text])
        self.choose_model_for(listed)
        encoding = self._encode(listed, None, truncate)[0]
        [outputs] = self.runner.run([encoding], ("all_layers",))
        return HiddenStates(
            pieces=tuple(self.tokenizer.pieces[i] for i in encoding.ids),
            offsets=tuple(encoding.offsets),
            layers=outputs["all_layers"],
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

        For heads that classify texts, with one class or several of them, or give a number. Texts
        longer than the model reads are read in windows, and the mean of their logits counts;
        truncate=True cuts them at their end instead.
        """
        head = tasks.need_head(self.head, self.folder, "classify")
        firsts, seconds = as_pairs(text, pair)
        if truncate:
            rows = Rows.whole(self._encode(firsts, seconds, truncate))
        else:
            refuse_empty([*firsts, *(seconds or [])], len(firsts))
            pairs: Sequence[str | None] = seconds or [None] * len(firsts)
            examples = [TextExample("", a, b) for a, b in zip(firsts, pairs, strict=True)]
            rows = encode(self.tokenizer, examples, self.max_window)
        answers = tasks.classify(self.runner, head, rows)
        return answers[0] if isinstance(text, str) else answers

    @overload
    def label_tokens(self, text: str, *, truncate: bool = False) -> TokenLabels: ...
    @overload
    def label_tokens(self, text: list[str], *, truncate: bool = False) -> list[TokenLabels]: ...
    def label_tokens(
        self, text: str | list[str], *, truncate: bool = False
    ) -> TokenLabels | list[TokenLabels]:
        """The class of each word piece, by a head fine-tuned for token classification.

        Long texts: see `classify`.
        """
        answers = [labels for labels, _ in self._label_tokens(as_list(text), truncate)]
        return answers[0] if isinstance(text, str) else answers

    @overload
    def tag(self, text: str, *, truncate: bool = False) -> Tags: ...
    @overload
    def tag(self, text: list[str], *, truncate: bool = False) -> list[Tags]: ...
    def tag(self, text: str | list[str], *, truncate: bool = False) -> Tags | list[Tags]:
        """What a text names and where, by a head fine-tuned for token classification.

        A word has the class of its first piece; words of one thing are put together by B-, I-,
        E-, S- before their classes, and what has the class O is left out. Long texts: see
        `classify`.
        """
        pairs = self._label_tokens(as_list(text), truncate)
        answers = [tasks.tags_of(labels, encoding) for labels, encoding in pairs]
        return answers[0] if isinstance(text, str) else answers

    @reading.with_old_names
    def answer(
        self,
        question: str | list[str],
        context: str | list[str],
        *,
        top_k: int = 5,
        max_tokens: int | None = None,
        doc_stride: int | None = None,
        max_answer_len: int = MAX_ANSWER_TOKENS,
        handle_impossible_answer: bool | None = None,
    ) -> Any:
        """Where in a text the answer to a question stands, by a head fine-tuned for that.

        The arguments have the names of transformers' pipeline. A long context is read in windows of
        `max_tokens` tokens with the question, a new one every `doc_stride` tokens; left out, as
        the model was fine-tuned, else 384 and 128. max_answer_len: tokens of the longest answer.
        handle_impossible_answer: whether "" may be the answer; left out, it may for a model that
        was trained for it (SQuAD 2).

        Returns `FoundAnswers`, or a list of them for lists.
        """
        head = tasks.need_head(self.head, self.folder, "span")
        questions, contexts = as_pairs(question, context)
        assert contexts is not None  # a context was given
        examples = [SpanExample("", c, q) for q, c in zip(questions, contexts, strict=True)]
        longest, stride = reading.windows_of(self.tokenizer, self.max_window)
        found = reading.decoded(
            self.runner,
            head,
            self.tokenizer,
            examples,
            max_tokens=longest if max_tokens is None else min(max_tokens, self.max_window),
            stride=stride if doc_stride is None else doc_stride,
            count=top_k,
            max_answer_tokens=max_answer_len,
        )
        if handle_impossible_answer is None:
            handle_impossible_answer = head.may_find_nothing
        answers = [
            reading.found_answers(
                q, answer, head, top_k=top_k, unanswerable=handle_impossible_answer
            )
            for q, answer in zip(questions, found, strict=True)
        ]
        return answers[0] if isinstance(question, str) else answers

    def choose(
        self,
        question: str | list[str],
        options: Sequence[Any],
        context: str | list[str] | None = None,
        *,
        truncate: bool = False,
    ) -> Any:
        """Which of several options answers a question, by a head fine-tuned for multiple choice.

        The head scores a sequence for each option: the context, then question and option, as
        google's program for RACE lays them out; without a context the question, then the option.
        Long texts: see `classify`.

        Returns `Choice`, or a list of them for a list of questions with a list of lists.
        """
        tasks.need_head(self.head, self.folder, "choose")
        examples = as_questions(question, options, context)
        firsts, seconds = choose.firsts_and_seconds(examples)
        if truncate:
            windows = Windows.whole(self._encode(firsts, seconds, truncate))
        else:
            refuse_empty([*firsts, *seconds], len(firsts))
            windows = Windows.of(self.tokenizer, firsts, seconds, self.max_window)
        answers = tasks.choose(self.runner, self.tokenizer, examples, windows)
        return answers[0] if isinstance(question, str) else answers

    def _label_tokens(self, texts: list[str], truncate: bool) -> list[tuple[TokenLabels, Encoding]]:
        head = tasks.need_head(self.head, self.folder, "tag")
        if truncate:
            encodings = self._encode(texts, None, truncate)
        else:
            refuse_empty(texts, len(texts))
            encodings = self.tokenizer.encode_batch(texts)
        found = tasks.label_tokens(
            self.runner, head, texts, encodings, self.tokenizer, self.max_window
        )
        return list(zip(found, encodings, strict=True))

    def _need(self, output: str, what: str, fix: str, command_fix: str | None = None) -> None:
        """Refuse a question that the engine has no output for."""
        if output not in self.engine.outputs:
            raise PredictionError(
                "This checkpoint cannot answer that.",
                expected=what,
                found="outputs: " + ", ".join(sorted(self.engine.outputs)),
                where=self.folder,
                fix=fix,
                command_fix=command_fix,
            )

    def _encode(
        self,
        texts: list[str],
        seconds: list[str] | None,
        truncate: bool,
        allow_mask: bool = False,
    ) -> list[Encoding]:
        return encode_texts(
            self.tokenizer,
            texts,
            seconds,
            self.config.max_position_embeddings,
            truncate=truncate,
            allow_mask=allow_mask,
        )
