"""What fine-tuning is measured beside: scikit-learn, and transformers' Trainer. See runs.py.

    python peers.py SYSTEM FOLDER --kind KIND --language en|zh --model FOLDER
        --epochs 3 --out FILE

FOLDER has train.jsonl, dev.jsonl and scored.jsonl. FILE becomes a list: a class, a number, a tag
for each word, or an answer, for every line of scored.jsonl.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peer_answers import answer_by_trainer, by_likeness, first_words

BATCH, RATE, WARMUP, MAX_TOKENS = 32, 3e-4, 0.1, 512  # as albertkit's defaults for these models
Rows = list[dict[str, Any]]


def main() -> None:
    """Train on train.jsonl, answer scored.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("system", choices=("constant", "simple", "trainer"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--epochs", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    train, dev, scored = (
        [json.loads(line) for line in (options.folder / f"{name}.jsonl").open(encoding="utf-8")]
        for name in ("train", "dev", "scored")
    )
    if options.system == "constant":
        made = constant(train, scored, options.kind)
    elif options.system == "simple":
        simple = {
            "token_classification": tag_by_word,
            "multiple_choice": option_by_words,
            "span": by_likeness,
        }
        made = simple.get(options.kind, by_tf_idf)(train, scored, options)
    else:
        with_trainer = {
            "token_classification": tag_by_trainer,
            "multiple_choice": choose_by_trainer,
            "span": partial(answer_by_trainer, trained=trained),
        }
        train_with = with_trainer.get(options.kind, classify_by_trainer)
        made = train_with(options, train, dev, scored)
    options.out.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")


def constant(train: Rows, scored: Rows, kind: str) -> list[Any]:
    """The most frequent class or place of the right option, O, the mean, or the first words."""
    if kind == "span":
        return first_words(train, scored)
    if kind == "token_classification":
        return [["O"] * len(row["words"]) for row in scored]
    if kind == "regression":
        return [float(np.mean([row["label"] for row in train]))] * len(scored)
    if kind == "multiple_choice":
        answers = [row["options"].index(row["answer"]) for row in train]
    else:
        answers = [row["label"] for row in train]
    return [Counter(answers).most_common(1)[0][0]] * len(scored)


def tag_by_word(train: Rows, scored: Rows, options: argparse.Namespace) -> list[Any]:
    """For each word the tag that it has most often; O for words that are not known."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for word, tag in zip(row["words"], row["tags"], strict=True):
            counts[word][tag] += 1
    usual = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    return [[usual.get(word, "O") for word in row["words"]] for row in scored]


def option_by_words(train: Rows, scored: Rows, options: argparse.Namespace) -> list[Any]:
    """The option whose words, weighted by their rareness, are most like the text's."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    unit = "word" if options.language == "en" else "char"
    vectorizer = TfidfVectorizer(analyzer=unit, ngram_range=(1, 2), sublinear_tf=True)
    vectorizer.fit([text for row in train for text in (row["context"], *row["options"])])
    made = []
    for row in scored:
        asked = vectorizer.transform([f"{row['question']} {text}" for text in row["options"]])
        alike = asked @ vectorizer.transform([row["context"]]).T
        made.append(int(alike.toarray().argmax()))
    return made


def by_tf_idf(train: Rows, scored: Rows, options: argparse.Namespace) -> list[Any]:
    """Words and pairs of words (Chinese: characters); of a pair both texts and their difference."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge

    unit = "word" if options.language == "en" else "char"
    vectorizer = TfidfVectorizer(analyzer=unit, ngram_range=(1, 2), sublinear_tf=True)
    vectorizer.fit([row[key] for row in train for key in ("text", "pair") if key in row])

    def vectors(rows: Rows) -> Any:
        first = vectorizer.transform([row["text"] for row in rows])
        if "pair" not in rows[0]:
            return first
        second = vectorizer.transform([row["pair"] for row in rows])
        return hstack([first, second, abs(first - second), first.multiply(second)]).tocsr()

    labels = [row["label"] for row in train]
    model = Ridge() if options.kind == "regression" else LogisticRegression(C=1, max_iter=1000)
    return [x if isinstance(x, str) else float(x) for x in model.fit(vectors(train), labels)
            .predict(vectors(scored)).tolist()]  # fmt: skip


def classify_by_trainer(
    options: argparse.Namespace, train: Rows, dev: Rows, scored: Rows
) -> list[Any]:
    """AlbertForSequenceClassification."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
    )

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    number = options.kind == "regression"
    labels = [] if number else sorted({row["label"] for row in train})
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, num_labels=len(labels) or 1, dtype="float32"
    )

    def encoded(rows: Rows) -> list[dict[str, Any]]:
        return [
            {
                **tokenizer(row["text"], row.get("pair"), truncation=True, max_length=MAX_TOKENS),
                "labels": row["label"] if number else labels.index(row["label"]),
            }
            for row in rows
        ]

    def figure(found: Any) -> dict[str, float]:
        logits, gold = found
        if number:
            return {"figure": float(np.nan_to_num(np.corrcoef(logits[:, 0], gold)[0, 1]))}
        return {"figure": float((logits.argmax(-1) == gold).mean())}

    collator = DataCollatorWithPadding(tokenizer)
    logits = trained(options, model, collator, [encoded(x) for x in (train, dev, scored)], figure)
    return [float(x) for x in logits[:, 0]] if number else [labels[n] for n in logits.argmax(-1)]


def tag_by_trainer(options: argparse.Namespace, train: Rows, dev: Rows, scored: Rows) -> list[Any]:
    """AlbertForTokenClassification, the class of a word at its first piece."""
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
    )

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    labels = sorted({tag for row in train for tag in row["tags"]})
    model = AutoModelForTokenClassification.from_pretrained(
        options.model, num_labels=len(labels), dtype="float32"
    )

    def encoded(rows: Rows) -> list[dict[str, Any]]:
        made = []
        for row in rows:
            one = tokenizer(
                row["words"], is_split_into_words=True, truncation=True, max_length=MAX_TOKENS
            )
            words, classes, last = one.word_ids(), [], None
            for word in words:
                known = word is not None and word != last and row["tags"][word] in labels
                classes.append(labels.index(row["tags"][word]) if known else -100)
                last = word
            made.append({**one, "labels": classes})
        return made

    def figure(found: Any) -> dict[str, float]:
        logits, gold = found
        real = gold != -100
        return {"figure": float((logits.argmax(-1) == gold)[real].mean())}

    rows = [encoded(x) for x in (train, dev, scored)]
    logits = trained(options, model, DataCollatorForTokenClassification(tokenizer), rows, figure)
    made = []
    for row, one, found in zip(scored, rows[2], logits, strict=True):
        real = [n for n, label in enumerate(one["labels"]) if label != -100]
        tags = [labels[found[n].argmax()] for n in real]
        made.append(tags + ["O"] * (len(row["words"]) - len(tags)))
    return made


def choose_by_trainer(
    options: argparse.Namespace, train: Rows, dev: Rows, scored: Rows
) -> list[Any]:
    """AlbertForMultipleChoice; the text is cut where a row is too long."""
    from transformers import (
        AutoModelForMultipleChoice,
        AutoTokenizer,
        DataCollatorForMultipleChoice,
    )

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForMultipleChoice.from_pretrained(options.model, dtype="float32")
    most = max(len(row["options"]) for row in train)

    def encoded(rows: Rows) -> list[dict[str, Any]]:
        made = []
        for row in rows:
            texts = [f"{row['question']} {text}" for text in row["options"]]
            texts += [texts[-1]] * (most - len(texts))  # all rows need the same number
            one = tokenizer(
                [row["context"]] * most, texts, truncation="only_first", max_length=MAX_TOKENS
            )
            made.append({**one, "label": row["options"].index(row["answer"])})
        return made

    def figure(found: Any) -> dict[str, float]:
        logits, gold = found
        return {"figure": float((logits.argmax(-1) == gold).mean())}

    rows = [encoded(x) for x in (train, dev, scored)]
    logits = trained(options, model, DataCollatorForMultipleChoice(tokenizer), rows, figure)
    numbers = zip(scored, logits, strict=True)
    return [int(found[: len(row["options"])].argmax()) for row, found in numbers]


def trained(
    options: argparse.Namespace, model: Any, collator: Any, rows: list[Any], figure: Any
) -> Any:
    """Logits on the third of `rows` after training on the first; the second chooses the epoch."""
    import torch
    from transformers import Trainer, TrainingArguments

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=options.epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=64,
            learning_rate=RATE,
            warmup_steps=WARMUP,
            weight_decay=0.01,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="figure",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            seed=0,
        )
        trainer = Trainer(
            model,
            arguments,
            data_collator=collator,
            train_dataset=rows[0],
            eval_dataset=rows[1],
            compute_metrics=figure,
        )
        trainer.train()
        return trainer.predict(rows[2]).predictions


if __name__ == "__main__":
    main()
