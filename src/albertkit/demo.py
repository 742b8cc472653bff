"""The demo: from real text to a model that fills masks, in minutes and without network.

English needs no input: every Python carries half a megabyte of prose, the topics of its language
reference (`pydoc_data.topics`). The steps are those of the command line, one function each:
text, vocabulary, data, pretraining, masks.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from albertkit import recipe as recipes
from albertkit.data.corpus import Corpus
from albertkit.data.shard_files import TOKENIZER, VALIDATION
from albertkit.data.shards import Shards
from albertkit.data.writing import write_shards
from albertkit.errors import AlbertkitError, CorpusError
from albertkit.files import require_free, write_atomic
from albertkit.infer.predictor import MASK, Predictor
from albertkit.text.tokenizer import Tokenizer
from albertkit.text.vocabulary import Kind, train_vocabulary
from albertkit.train.pretrain import RunResult, pretrain
from albertkit.train.settings import PretrainingRecipe

GOAL_NATS = 0.7  # below the unigram entropy: the model reads the context
HELD_OUT = 0.1  # share of documents never trained on
MASKS_SHOWN = 10
PARAGRAPHS_PER_DOCUMENT = 4  # sentence order needs several sentences, held-out parts many documents
SHORTEST_PARAGRAPH = 40  # characters; below it stand headings and scraps of grammar
MOST_SIGNS = 0.12  # share of brackets, quotes and operators from where on a paragraph is code

VOCABULARY: dict[str, tuple[Kind, int]] = {
    "en": ("sentencepiece", 2000),
    "zh": ("wordpiece", 4000),
}


@dataclass(frozen=True)
class DemoResult:
    """How the demo ended: the run, and how far below the unigram entropy it came, in nats."""

    run: RunResult
    gain: float
    reached: bool
    shown: int
    right_first: int  # of the masks shown, those whose first guess was right
    right_in_five: int


def demo(
    output: Path,
    *,
    language: str = "en",
    source: Path | None = None,
    console: Console | None = None,
) -> DemoResult:
    """Make text, vocabulary, data and a model under `output`, which must be free.

    language: en or zh. source: text to learn from; English has a default, Chinese needs one.
    """
    console = console or Console(highlight=False)
    require_free(output)
    corpus = require_file(source) if source else write_topics(output / "text.txt")
    say(console, "1. text", f"{corpus.name}: {corpus.stat().st_size / 1000:,.0f} kB")
    tokenizer = make_vocabulary(corpus, output / "vocabulary", language)
    example = " ".join(tokenizer.pieces[i] for i in tokenizer.ids(first_words(corpus)))
    say(console, "2. vocabulary", f"{tokenizer.vocab_size:,} pieces: {example} ...")
    data = output / "data"
    summary = write_shards(
        Corpus([corpus], language=language), tokenizer, data, validation_fraction=HELD_OUT
    )
    say(
        console,
        "3. data",
        f"{summary.tokens:,} tokens in {summary.documents:,} documents; "
        f"{summary.splits[VALIDATION]['num_documents']:,} of them are never trained on",
    )
    say(console, "4. pretraining", f"until {GOAL_NATS} nats below the unigram entropy")
    recipe = settings(data, output / "run")
    run = pretrain(recipe, console=console)
    gain = run.baselines.unigram_entropy - run.validation["mlm_loss"]
    say(console, "5. masks", "in documents never trained on, the right answer beside the guesses")
    shown, first, five = show_masks(console, run.model, data, language)
    result = DemoResult(run, gain, gain >= GOAL_NATS, shown, first, five)
    last_words(console, result)
    return result


def free_folder(wanted: Path) -> Path:
    """The path itself, or with -2, -3 ... behind it: the first that does not exist."""
    number, path = 1, wanted
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")
    return path


def say(console: Console, step: str, fact: str) -> None:
    """One line of the demo: which step, and what it made."""
    console.print(Text.assemble((f"{step}  ", "bold"), fact))


def require_file(source: Path) -> Path:
    """The path of a text that is there."""
    if not source.is_file():
        raise CorpusError(
            "There is no such text.",
            expected="a file",
            found="a folder" if source.is_dir() else "no such file",
            where=source,
            fix="correct the path",
        )
    return source


def write_topics(path: Path) -> Path:
    """Write the prose of Python's language reference, one blank line between documents."""
    from pydoc_data.topics import topics

    documents = ["\n".join(paragraphs) for paragraphs in documents_of(topics)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "\n\n".join(documents) + "\n")
    return path


def documents_of(topics: Mapping[str, str]) -> Iterator[list[str]]:
    """Documents of up to four paragraphs of prose, each paragraph on one line.

    Topics quote one another: a paragraph that occurred before is left out, so that none can
    stand on both sides of the held-out split. Code, grammar and tables are left out too.
    """
    seen: set[str] = set()
    for _, topic in sorted(topics.items()):
        prose = []
        for block in re.split(r"\n\s*\n", topic):
            paragraph = " ".join(block.split())
            if is_prose(paragraph) and paragraph not in seen:
                seen.add(paragraph)
                prose.append(paragraph)
        for begin in range(0, len(prose), PARAGRAPHS_PER_DOCUMENT):
            yield prose[begin : begin + PARAGRAPHS_PER_DOCUMENT]


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph reads like sentences rather than like code or a heading."""
    signs = sum(paragraph.count(sign) for sign in "=()[]{}<>:\"'|_*")
    return (
        len(paragraph) >= SHORTEST_PARAGRAPH
        and ">>>" not in paragraph
        and signs <= MOST_SIGNS * len(paragraph)
    )


def make_vocabulary(corpus: Path, folder: Path, language: str) -> Tokenizer:
    """Train a vocabulary on the text and open it."""
    kind, size = VOCABULARY[language]
    documents = Corpus([corpus], language=language)
    texts = (sentence for document in documents for sentence in document.sentences)
    return Tokenizer.load(train_vocabulary(texts, kind, size, folder))


def first_words(corpus: Path, characters: int = 40) -> str:
    """The beginning of the text."""
    with corpus.open(encoding="utf-8") as file:
        return file.read(characters).split("\n")[0]


def settings(data: Path, output: Path) -> PretrainingRecipe:
    """The shipped recipe `demo` for these data, ending at the goal."""
    places = [("data.path", data), ("run.output", output)]
    return recipes.load(
        "demo",
        PretrainingRecipe,
        [
            *(f"{key}={json.dumps(str(path))}" for key, path in places),
            f"run.stop_below={GOAL_NATS}",
        ],
    )


def show_masks(console: Console, model: Path, data: Path, language: str) -> tuple[int, int, int]:
    """Print guesses beside right answers; returns how many, right at first, right among five."""
    tokenizer = Tokenizer.load(data / TOKENIZER)
    questions = list(held_out_masks(Shards(data / VALIDATION), tokenizer, language))
    answers = Predictor(model).fill_mask([question for question, _ in questions], top_k=5)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("text", ratio=1, overflow="fold")
    table.add_column("right")
    table.add_column("guesses", max_width=26)
    first = five = 0
    for (question, right), fillings in zip(questions, answers, strict=True):
        guesses = [f.tokens[0].lstrip("▁") for f in fillings]
        first += guesses[0] == right
        five += right in guesses
        before, after = question.split(MASK)
        marked = Text.assemble(before[-70:], (MASK, "bold yellow"), after[:50])
        styles = [("bold green" if guess == right else "") for guess in guesses]
        listed = Text(" ").join(Text(g, style=s) for g, s in zip(guesses, styles, strict=True))
        table.add_row(marked, Text(right, style="bold green"), listed)
    console.print(table)
    return len(questions), first, five


def held_out_masks(
    shards: Shards, tokenizer: Tokenizer, language: str
) -> Iterator[tuple[str, str]]:
    """Held-out sentences with one word masked, and that word; always the same ones.

    Sentences of 8 to 40 tokens; of each, one word that is a single piece and has at least three
    letters (English) or is a Chinese character, drawn by a fixed seed.
    """
    rng = random.Random(0)
    wanted = re.compile(r"[一-鿿]" if language == "zh" else r"▁[a-z]{3,}")
    numbers = list(range(shards.num_sentences))
    rng.shuffle(numbers)
    given = 0
    for number in numbers:
        text = tokenizer.decode(shards.sentence(number)[0].tolist())
        ids, offsets = tokenizer.align(text)
        pieces = [tokenizer.pieces[i] for i in ids]
        # A word is a single piece if the next piece starts a word or is no letter.
        whole = [
            n
            for n, piece in enumerate(pieces[:-1])
            if wanted.fullmatch(piece) and not (pieces[n + 1][:1].isalpha() and language == "en")
        ]
        if not 8 <= len(ids) <= 40 or not whole:
            continue
        chosen = rng.choice(whole)
        begin, end = offsets[chosen]
        word = text[begin:end].strip()
        begin = end - len(word)
        yield text[:begin] + MASK + text[end:], word
        given += 1
        if given == MASKS_SHOWN:
            return
    if not given:
        raise CorpusError(
            "No held-out sentence has a word to mask.",
            expected="sentences of 8 to 40 tokens",
            found=f"{shards.num_sentences:,} held-out sentences",
            fix="give more text",
        )


def last_words(console: Console, result: DemoResult) -> None:
    """The two numbers, where everything is, and what to try next."""
    run = result.run
    console.print(
        f"right at the first guess: {result.right_first} of {result.shown}; "
        f"among five: {result.right_in_five} of {result.shown}\n"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row(
        "unigram entropy of the held-out text", f"{run.baselines.unigram_entropy:.3f} nats"
    )
    table.add_row("masked-LM loss on it", f"{run.validation['mlm_loss']:.3f} nats")
    table.add_row("below", f"{result.gain:.3f} nats")
    table.add_row("wanted", f"{GOAL_NATS:.3f} nats")
    console.print(table)
    where = run.folder
    console.print(f"model: {run.model}\nreport: {where / 'report.html'}\n", highlight=False)
    console.print("Try next:", style="bold")
    for line in (
        f'albertkit fill-mask {run.model} "The [MASK] statement is used in a loop."',
        f"albertkit info {run.model}",
        f"albertkit pretrain {where / 'recipe.toml'} --out {where}-longer "
        "--set stages.0.steps=3000",
    ):
        console.print(f"  {line}", soft_wrap=True)


def goal_error(result: DemoResult) -> AlbertkitError:
    """What to say when the goal was missed."""
    return AlbertkitError(
        "The demo did not reach its goal.",
        expected=f"a held-out loss {GOAL_NATS} nats below the unigram entropy",
        found=f"{result.gain:.3f} nats below",
        where=result.run.folder,
        fix="look at report.html; give more text, or raise stages.0.steps in recipe.toml",
    )
