"""The demo from nothing: from text to a model that fills masks, in minutes, without a network.

English needs no input (`python_text.py`). The steps are those of the command line, one function
each: text, vocabulary, data, pretraining, masks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit import settings as recipes
from albertkit.cli.guesses import Masks, show_masks
from albertkit.cli.python_text import TOPICS, TOPICS_LICENSE, write_topics
from albertkit.data.corpus import Corpus
from albertkit.data.folder import DataFolder
from albertkit.data.masked_examples import masked_examples
from albertkit.data.shards import VALIDATION
from albertkit.data.writing import write_shards
from albertkit.errors import CorpusError, TrainingError, VocabularyError, quoted
from albertkit.files import atomic_folder, require_free
from albertkit.infer.predictor import Predictor
from albertkit.progress import Bar
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import MIN_SIZES, Kind, train_vocabulary
from albertkit.train.pretrain import RunResult, pretrain
from albertkit.train.recipe import PretrainingRecipe

GOAL_NATS = 0.7  # below the unigram entropy: the model reads the context
STOP_NATS = 0.75  # the run ends here: a little more than the goal makes better guesses
HELD_OUT = 0.1  # share of documents never trained on
MASKS_SHOWN = 10

VOCABULARY: dict[str, tuple[Kind, int]] = {
    "en": ("sentencepiece", 2000),
    "zh": ("wordpiece", 4000),
}
# Chinese text has more kinds of tokens to tell apart: it takes more steps.
CHANGES: dict[str, dict[str, int]] = {
    "en": {},
    "zh": {"stages.0.steps": 1800},
}


@dataclass(frozen=True)
class ScratchResult:
    """How the demo ended: the run, and how far below the unigram entropy it came, in nats."""

    run: RunResult
    gain: float
    reached: bool
    masks: Masks


def from_scratch(
    output: Path,
    *,
    language: str = "en",
    source: Path | None = None,
    overrides: Sequence[str] = (),
    console: Console | None = None,
) -> ScratchResult:
    """Make text, vocabulary, data and a model under `output`, which must be free.

    language: en or zh. source: text to learn from; English has a default, Chinese needs one.
    overrides: changes of the recipe `demo`, as in "stages.0.steps=100".
    """
    console = console or Console(highlight=False)
    require_free(output)
    if source is None and language != "en":
        raise CorpusError(
            "The demo brings text for English only.",
            expected="a text in Chinese",
            found="none",
            fix="name one: --from-scratch --language zh --input FILE",
        )
    origin = require_file(source).name if source else TOPICS
    with atomic_folder(output) as folder:
        corpus = source or write_topics(folder / "text.txt")
        log(console, "1. text", f"{origin}: {corpus.stat().st_size / 1000:,.0f} kB")
        with Bar("training the vocabulary", console=console):
            tokenizer = make_vocabulary(corpus, folder / "vocabulary", language)
        log(console, "2. vocabulary", describe(tokenizer, corpus, language))
        documents = Corpus([corpus], language=language)
        with Bar("tokenizing", console=console):
            summary = write_shards(
                documents, tokenizer, folder / "data", validation_fraction=HELD_OUT
            )
        log(
            console,
            "3. data",
            f"{summary.tokens:,} tokens in {summary.documents:,} documents; "
            f"{summary.splits[VALIDATION]['num_documents']:,} of them are never trained on",
        )
        for note in (*documents.report.notes(), *summary.notes()):
            console.print(f"note: {note}")
    log(console, "4. pretraining", f"wanted: {GOAL_NATS} nats below the unigram entropy")
    data = output / "data"
    run = pretrain(settings(data, output / "run", language, origin, overrides), console=console)
    if not run.finished:
        raise TrainingError(
            "The demo was stopped.",
            where=run.folder,
            fix=f"albertkit pretrain {quoted(run.folder / 'recipe.toml')} --resume",
        )
    gain = run.baselines.unigram_entropy - run.validation["mlm_loss"]
    log(console, "5. masks", "in documents never trained on, the right answer beside the guesses")
    masks = fill_held_out(console, run.model, data)
    result = ScratchResult(run, gain, gain >= GOAL_NATS, masks)
    print_summary(console, result, language)
    return result


def log(console: Console, step: str, fact: str) -> None:
    """One line of the demo: which step, and what it made."""
    console.print(Text.assemble((f"{step}  ", "bold"), fact))


def require_file(source: Path) -> Path:
    """The path of a text that is there."""
    if not source.is_file():
        raise CorpusError(
            "The text file does not exist.",
            expected="a file",
            found="a folder" if source.is_dir() else "no such file",
            where=source,
            fix="correct the path",
        )
    return source


def make_vocabulary(corpus: Path, folder: Path, language: str) -> Tokenizer:
    """Train a vocabulary on the text and open it; a smaller one where the text is too small."""
    kind, size = VOCABULARY[language]
    while True:
        documents = Corpus([corpus], language=language)
        texts = (sentence for document in documents for sentence in document.sentences)
        try:
            return Tokenizer.load(train_vocabulary(texts, kind, size, folder))
        except VocabularyError:
            smaller = size * 9 // 10
            if smaller < MIN_SIZES[kind]:
                raise
            size = smaller


def describe(tokenizer: Tokenizer, corpus: Path, language: str) -> str:
    """Size of the vocabulary, and how it cuts the first sentence of the text."""
    sentence = next(Corpus([corpus], language=language)).sentences[0]
    pieces = [tokenizer.pieces[i] for i in tokenizer.ids(sentence)]
    return f"{tokenizer.vocab_size:,} pieces: {' '.join(pieces[:10])} ..."


def settings(
    data: Path, output: Path, language: str, source: str, overrides: Sequence[str]
) -> PretrainingRecipe:
    """The shipped recipe `demo` for these data; it stops early when it is past the goal."""
    own = {
        **CHANGES[language],
        "data.path": str(data),
        "run.output": str(output),
        "run.stop_below": STOP_NATS,
        "card.name": f"albertkit demo, {language}",
        "card.language": language,
        "card.data": source,
    }
    if source == TOPICS:
        own["card.data_license"] = TOPICS_LICENSE
    given = [f"{key}={json.dumps(value)}" for key, value in own.items()]
    return recipes.load("demo", PretrainingRecipe, [*given, *overrides])


def fill_held_out(console: Console, model: Path, data: Path) -> Masks:
    """Print guesses beside right answers, for words of the held-out text."""
    questions = masked_examples(DataFolder.open(data), MASKS_SHOWN)
    if not questions:
        console.print("No held-out sentence of 8 to 40 tokens has a word to mask.")
        return Masks(0, 0, 0)
    return show_masks(console, "text", questions, Predictor(model))


def print_summary(console: Console, result: ScratchResult, language: str) -> None:
    """The two numbers, where everything is, what to try next; loudly if the goal was missed."""
    run = result.run
    console.print(
        f"right at the first guess: {result.masks.right_first} of {result.masks.shown}; "
        f"among five: {result.masks.right_in_five} of {result.masks.shown}\n"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    entropy, loss = run.baselines.unigram_entropy, run.validation["mlm_loss"]
    table.add_row("unigram entropy of the held-out text", f"{entropy:.3f} nats")
    table.add_row("masked-LM loss on it", f"{loss:.3f} nats")
    table.add_row(f"below, of {GOAL_NATS} wanted", f"{result.gain:.3f} nats")
    for lesson in run.lessons:
        table.add_row(lesson.title, lesson.verdict)
    console.print(table)
    if not result.reached:
        console.print(
            "The demo did not reach its goal: look at the curves in report.html; "
            "give more text, or more steps: --set stages.0.steps=4000\n",
            style="bold red",
        )
    recipe, longer = quoted(run.folder / "recipe.toml"), quoted(f"{run.folder}-longer")
    question = "今天[MASK]气很好。" if language == "zh" else "The [MASK] ends a loop."
    for line in (
        f"model: {run.model}",
        f"report: {run.folder / 'report.html'}",
        "try next:",
        f'  albertkit fill-mask "{question}" --model {quoted(run.model)}',
        f"  albertkit info {quoted(run.model)}",
        f"  albertkit pretrain {recipe} --out {longer} \\",
        "    --set stages.0.steps=4000 --set run.stop_below=0",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
