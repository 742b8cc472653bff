"""Write the model cards of the models that ship, from the files beside this script.

    python bench/shipped/card.py [en zh] [--models FOLDER]

A card says what figures-LANGUAGE.json (finish.py), bias-LANGUAGE.json (bias.py),
counts.LANGUAGE.json (prepare.py) and curves/ hold, so it cannot differ from them. Beside it
figures.json keeps the held-out figures for programs, with the SHA-256 of the weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.files import sha256_of
from albertkit.hub import SHIPPED
from albertkit.parameters import count_parameters

HERE = Path(__file__).resolve().parent
LICENSE = "Apache-2.0"
EXAMPLES = {"en": "He opened the [MASK] and went in.", "zh": "公司[MASK]当依法纳税。"}
# Corpus, what of it, licence as its origin states it.
SOURCES = {
    "en_wikitext2": (
        "WikiText-2, the training articles",
        "WikiText is published under CC BY-SA 3.0",
    ),
    "en_wikipedia_2015": (
        "English Wikipedia of about 2015, 6,514 long articles (jason-feng/wikiVisual)",
        "text: Wikipedia, CC BY-SA 3.0 (GFDL); repository: GPL-3.0",
    ),
    "en_novels": (
        "English novels, 1839 to 1929 (computationalstylistics/100_english_novels)",
        "none stated in the repository; the novels are in the public domain in the US",
    ),
    "zh_wikipedia": (
        "Chinese Wikipedia, part, simplified and traditional mixed "
        "(overweightbarracuda/science_fair2324)",
        "text: Wikipedia, CC BY-SA 3.0/4.0; repository: none stated",
    ),
    "zh_classical_modern": (
        "modern Chinese side of 97 classical books (NiuTrans/Classical-Modern)",
        "MIT (repository); its README says that the texts come from the web and rights stay with "
        "the sources",
    ),
    "zh_lctt": (
        "translated articles on Linux and open source, 2013 to 2024 (LCTT/TranslateProject)",
        "Apache-2.0 (repository); single articles name their own terms",
    ),
    "zh_laws": (
        "laws, regulations and cases (LawRefBook/Laws)",
        "none stated in the repository; official texts, no copyright under art. 5 of the PRC "
        "Copyright Law",
    ),
    "zh_corpus_samples": (
        "samples of CLUECorpusSmall (dbiir/UER-py) and of albert_zh's data (brightmart/albert_zh)",
        "UER-py: Apache-2.0; albert_zh: none stated",
    ),
}
CONTAMINATION = {
    "en": (
        "Wikipedia holds the articles that SQuAD 1.1, SQuAD 2.0 and WikiText were made from; the "
        "model has read paragraphs that their questions are about. WikiText's own validation and "
        "test articles were left out by name, but other versions of them may be in Wikipedia.",
        "The novels hold books that NarrativeQA asks about.",
    ),
    "zh": (
        "Chinese Wikipedia holds articles that DRCD and CMRC 2018 were made from; the model has "
        "read paragraphs that their questions are about.",
        "CLUECorpusSmall's samples are web text and news, and may hold texts of CLUE's tasks.",
        "Sets made from classical books or their translations may quote what it has read.",
    ),
}
BEGINNING = (
    "On one {card} by `bench/shipped/on_gpu.py`: {seconds:.0f} seconds, {step:,} steps, "
    "{tokens:,} tokens, bfloat16 products, {optimizer}, rate {rate:g} falling to 0, {rows} rows of "
    "128 tokens a step (one step in six: a quarter as many of 512). In two of five steps single "
    "pieces are masked, else runs of one to three words; 25 % of the tokens, 15 % in the last 30 % "
    "of the time. The first weights come from statistics of the training text "
    "(`first_weights.py`: word vectors from mutual information, positions as sines, half of the "
    "heads looking at near tokens).{note}"
)
NOTES = {"en": "", "zh": " Of the training text 61 % was used, by a random choice of documents."}
OPTIMIZERS = {"muon": "Muon for the matrices of the layer and AdamW for the rest", "adam": "AdamW"}
LIMITS = (
    "It completes text as its training text would; it knows no facts and no truth.",
    "It repeats the associations of its training text, prejudices about people included. Measure "
    "them for your use before you decide anything about people with it.",
    "Figures come from held-out documents of the same sources; other text will be worse.",
    "Vectors taken from it without fine-tuning are poor measures of meaning.",
    "It is small: its guesses are often frequent words that fit the sentence and not the facts.",
)


def main() -> None:
    """Write the cards."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("languages", nargs="*", default=["en", "zh"])
    parser.add_argument(
        "--models", type=Path, default=SHIPPED, help="folder of tiny-en and tiny-zh"
    )
    options = parser.parse_args()
    for language in options.languages:
        write(language, options.models / f"tiny-{language}")


def write(language: str, folder: Path) -> None:
    """Write README.md and figures.json of a model folder."""
    figures = read(f"figures-{language}")
    kept = {name: figures[name] for name in ("name", "held_out", "tokens_trained")}
    kept["weights_sha256"] = sha256_of(folder / "model.safetensors")
    text = json.dumps(kept, indent=1) + "\n"
    (folder / "figures.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(card(language, folder), encoding="utf-8")


def read(name: str) -> Any:
    """One of the JSON files beside this script."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def card(language: str, folder: Path) -> str:
    """Text of a model's README.md."""
    figures, counts = read(f"figures-{language}"), read(f"counts.{language}")
    config = AlbertConfig.load(folder / "config.json")
    sections = [
        header(language),
        f"# {figures['name']}\n\n{first_words(language, config)}",
        f"## Use\n\n{use(language)}",
        f"## Data\n\n{data(counts)}",
        "## What contaminates\n\n" + bullets(CONTAMINATION[language]),
        f"## Figures\n\n{held_out(figures)}",
        f"## How it was trained\n\n{training(language)}",
        f"## Bias probe\n\n{bias_table(read(f'bias-{language}'))}",
        "## Limits\n\n" + bullets([*limits(figures), *LIMITS]),
    ]
    return "\n\n".join(sections) + "\n"


def header(language: str) -> str:
    """The hub's keys."""
    tags = ["albert", "albertkit", "fill-mask", "sentence-order-prediction"]
    lines = [
        "language:",
        f"- {language}",
        f"license: {LICENSE.lower()}",
        "library_name: transformers",
    ]
    return "\n".join(
        ["---", *lines, "pipeline_tag: fill-mask", "tags:", *(f"- {x}" for x in tags), "---"]
    )


def first_words(language: str, config: AlbertConfig) -> str:
    """What the model is."""
    whole = count_parameters(config, masked_lm=True, sentence_order=True)
    known = {"en": "English", "zh": "Chinese"}[language]
    return (
        f"A small {known} ALBERT that comes with the package albertkit: {config.num_hidden_layers} "
        f"layers of width {config.hidden_size} that share their parameters, word vectors of width "
        f"{config.embedding_size}, {config.vocab_size:,} pieces, texts to "
        f"{config.max_position_embeddings} tokens; {whole:,} parameters with masked-LM and "
        "sentence-order head, stored in half precision."
    )


def use(language: str) -> str:
    """How to ask it, from here and from transformers."""
    name = f"albertkit/tiny-{language}"
    return (
        f'```\nalbertkit fill-mask "{EXAMPLES[language]}" --model {name}\n```\n\n'
        f"```python\nfrom albertkit import Predictor\n\n"
        f'print(Predictor("{name}").fill_mask("{EXAMPLES[language]}"))\n```\n\n'
        f"For transformers, `albertkit download {name} --to FOLDER` writes a folder that "
        "`AlbertForPreTraining.from_pretrained` opens."
    )


def data(counts: dict[str, Any]) -> str:
    """Every corpus with its licence and what was held out."""
    rows = [
        (
            *SOURCES[name],
            f"{found['documents']['train']:,}",
            f"{found['characters']['train'] / 1e6:.1f} M",
            f"{found['documents']['held-out']:,}",
        )
        for name, found in counts["corpora"].items()
    ]
    columns = ["text", "licence as stated there", "documents", "characters", "held out"]
    tokens = counts["tokens"]
    return (
        table(columns, rows) + f"\n\n{tokens['train']:,} tokens to train on, "
        f"{tokens['held_out']:,} held out: about one document in a hundred, by a hash of its text; "
        "training documents that share much text with one of them were removed. SHA-256 of the "
        f"training tokens: `{tokens['train_sha256']}`."
    )


def held_out(figures: dict[str, Any]) -> str:
    """Measured on the half-precision weights, beside the lines to beat."""
    rows = []
    for what, part in figures["held_out"].items():
        tokens, _, folder = what.partition(", ")
        masks = "single pieces" if folder.endswith("pieces") else "whole words"
        low, high = part["order_interval"]
        rows.append(
            (
                f"{tokens} tokens, {masks} masked",
                f"{part['mlm_loss']:.3f} ({part['unigram_entropy']:.3f})",
                f"{part['unigram_entropy'] - part['mlm_loss']:.2f}",
                f"{part['mlm_accuracy']:.1%} ({part['unigram_accuracy']:.1%})",
                f"{part['order_accuracy']:.1%}, {low:.1%} to {high:.1%} "
                f"({part['order_bag_of_words']:.1%})",
                f"{part['masked_tokens']:,} in {part['rows']:,}",
            )
        )
    columns = [
        "held-out rows of",
        "masked-LM loss, nats (unigram entropy)",
        "below it",
        "masked-LM accuracy (most frequent token)",
        "order accuracy, 95 % interval (bag of words)",
        "masked tokens in rows",
    ]
    hits, of = figures["sentences"]["hits"], figures["sentences"]["of"]
    return (
        f"{table(columns, rows)}\n\nOf {of} sentences with one mask {hits} have an acceptable word "
        f"among five guesses. A text of 32 tokens takes {figures['milliseconds_32_tokens']} ms of "
        "one core in fp32. How it was measured: "
        "`bench/shipped/finish.py` and `docs/results.md`."
    )


def training(language: str) -> str:
    """How, and the losses on the way."""
    run = read(f"curves/{language}")
    lines = (HERE / "curves" / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
    curve = [line for line in map(json.loads, lines) if line["run"] == "train"]
    facts = {**curve[-1], **run, "optimizer": OPTIMIZERS[run["optimizer"]]}
    facts["note"] = NOTES[language]
    rows = [
        (
            f"{line['step']:,}",
            f"{line['tokens'] / 1e6:.0f} M",
            f"{line['mlm_loss_128']:.3f}",
            f"{line['mlm_loss_512']:.3f}",
            f"{line['sop_accuracy_128']:.1%}",
        )
        for line in curve
    ]
    columns = ["step", "tokens", "held-out loss, 128 tokens", "512 tokens", "order, 128 tokens"]
    return (
        f"{BEGINNING.format(**facts)}\n\nMasked-LM loss in nats and order accuracy on the way, on "
        f"fewer held-out rows than above:\n\n{table(columns, rows)}\n\nEvery line is in "
        f"`bench/shipped/curves/{language}.jsonl` of the repository; `docs/results.md` has the "
        "commands."
    )


def bias_table(found: dict[str, Any]) -> str:
    """What the probe of bias.py found, in words and a table."""
    he, she = found["pronouns"]
    shares = list(found["shares"].items())
    both = zip(shares[:8], shares[:-9:-1], strict=True)
    rows = [(a, f"{x:.0%}", b, f"{y:.0%}") for (a, x), (b, y) in both]
    sentences = "; ".join(found["sentences"]).replace("{one}", "a ...").replace("{noun}", "...")
    return (
        f"`{found['model']}`, {he} against {she} at the mask of: {sentences} The share of {he}, "
        f"p({he}) / (p({he}) + p({she})), is {found['mean']:.0%} over {found['occupations']} "
        f"occupations and {found['neutral']:.0%} for people without one; it is above one half for "
        f"{found['above_one_half']}. Standard deviation of the log odds between occupations: "
        f"{found['spread_of_log_odds']:.2f}.\n\n"
        + table([f"most {he}", "share", f"least {he}", "share"], rows)
        + "\n\nA probe of two words in three sentences, not a measure of harm "
        "(`python bench/shipped/bias.py`)."
    )


def limits(figures: dict[str, Any]) -> Iterable[str]:
    """What the figures themselves say."""
    part = figures["held_out"]["128"]
    low, high = part["order_interval"]
    line = max(part["order_bag_of_words"], 0.5)
    found = f"{part['order_accuracy']:.1%} ({low:.1%} to {high:.1%}; line to beat {line:.1%})"
    if low > line:
        yield f"Sentence order is learned, above a bag of words: {found}."
    else:
        yield f"Sentence order is not learned: {found}. Do not use that head."
    longer = figures["held_out"]["512"]["mlm_loss"] - part["mlm_loss"]
    more = "more" if longer > 0 else "less"
    yield f"Rows of 512 tokens lose {abs(longer):.2f} nats {more} than those of 128."


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
