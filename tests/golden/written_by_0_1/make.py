"""Make the files of this folder with albertkit 0.1 at commit fde1c26, the only code it runs with.

    PYTHONPATH=src python tests/golden/written_by_0_1/make.py FOLDER

FOLDER must not exist. It gets everything but this script and README.md, which lie beside it in
the repository. It is kept to show how the files came about, not to be run again: what a later
version writes does not belong here.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from albertkit.task_head import TaskHead
from albertkit.tensor_names import parameter_shapes
from albertkit.train.settings import PretrainingRecipe

from albertkit import AlbertConfig, Checkpoint, Predictor, Tokenizer
from albertkit import recipe as recipes
from albertkit.cli import main
from albertkit.data.loader import LoaderSettings, PretrainingLoader
from albertkit.data.shards import Shards
from albertkit.train.run import Run

STEPS, STOPPED_AFTER = 12, 6
SIZES = {"en": 64, "zh": 56}  # pieces of the vocabularies
ENGLISH = "english.tar.xz"

# Each line is a document. Few words, so that vocabularies are small.
TEXT = {
    "en": """
The cat sleeps in the barn. At night it hunts the mouse. The mouse hides in the hay.
A dog runs to the river. It sees a fish. The fish is fast and the dog is wet.
The hen sits on the hay. She has three eggs. Soon there are three hens in the barn.
Rain falls on the barn. The dog and the cat sit inside. They do not like the rain.
The farmer has a boat on the river. In the morning he rows. In the evening he sleeps.
A fish sees the boat. It dives. The farmer has no fish today.
The mouse finds an egg. The hen is not there. The mouse eats the egg at night.
In the morning the hen sees no egg. She runs to the dog. The dog runs to the cat.
The cat hunts the mouse to the river. The mouse finds the boat and hides.
The farmer rows the boat. He sees the mouse. The mouse sees the fish.
At night the rain is over. The river is high and fast. The boat is inside the barn.
The dog sleeps on the hay. The cat sleeps on the dog. The mouse is not there today.
Three hens sit in the boat. The farmer likes it. There are eggs in the boat today.
The fish is in the river. The hen is in the barn. The farmer is on the hay and sleeps.
""",
    "zh": """
小猫在树下睡觉。天黑了，它去找老鼠。老鼠在草里不出来。
小狗跑到河边。它看见一条鱼。鱼跑了，小狗下水去找鱼。
母鸡在草里，它有三个小鸡。天亮了，小鸡出来找水。
下雨了，小猫和小狗在家里。它们不爱下雨天。
老人有一条船。天亮了他在河里看鱼，天黑了他在家睡觉。
鱼看见船，就跑了。老人今天没有鱼。
老鼠找到一个鸡蛋。母鸡不在家。天黑了，老鼠吃鸡蛋。
天亮了，母鸡看不见鸡蛋。它去找小狗，小狗去找小猫。
小猫找老鼠找到河边。老鼠跑到船里不出来。
老人看见船里有老鼠。老鼠看见河里有鱼。
天黑了，不下雨了。河里水大，船在家里。
小狗在草里睡觉。小猫在小狗边上睡觉。老鼠今天没有来。
三个母鸡在船里。老人爱吃鸡蛋。今天船里有鸡蛋。
鱼在河里，母鸡在家里，老人在树下睡觉。
""",
}
SENTENCES = {
    "en": ["The cat sees a fish.", "Today the farmer's boat is wet!", "Üben: 3 eggs (or 4)"],
    "zh": ["小猫看见一条鱼。", "今天老人没有船！", "Fish 鱼，又 3 条"],
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "en": {
        "masks": ["The cat sleeps in the [MASK].", "The [MASK] runs to the [MASK]."],
        "pairs": [
            ["Rain falls on the barn.", "The river is high."],
            ["The dog is wet.", "A dog runs to the river."],
        ],
        "texts": ["The mouse hides in the hay.", "The farmer sleeps."],
    },
    "zh": {
        "masks": ["小猫在[MASK]下睡觉。", "小[MASK]看见一条[MASK]。"],
        "pairs": [["下雨了。", "小猫在家里。"], ["鱼跑了。", "小狗看见一条鱼。"]],
        "texts": ["老鼠找到一个鸡蛋。", "老人在河里看鱼。"],
    },
}
SHAPE: dict[str, Any] = {
    "embedding_size": 4,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 32,
}
# Everything here that transformers cannot express: the folder is of our own kind.
OWN: dict[str, Any] = {
    "num_hidden_layers": 3,
    "num_hidden_groups": 2,
    "ffn_groups": 2,
    "hidden_act": "relu",
    "embedding_order": "project_then_norm",
    "position_width": "hidden",
    "projection_bias": False,
    "norm_order": "pre",
    "share": "attention",
    "final_norm": True,
    "tied_decoder": False,
    "type_vocab_size": 3,
    "layer_norm_eps": 1e-6,
    "head_layer_norm_eps": 1e-5,
}
PARTS = ("albert.", "masked_lm.", "sentence_order.")
LABELS = ("hay", "river", "barn")

RUN_RECIPE = """
[data]
path = "data-zh"

[model]
vocab_size = "from_data"
embedding_size = 4
hidden_size = 8
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 12
max_position_embeddings = 24
initializer_range = 0.1

[optim]
name = "lamb"

[[stages]]
tokens = 16
steps = 8
batch_size = 6
micro_batch_size = 4
warmup_steps = 2
peak_learning_rate = 0.002
max_predictions = 3

[[stages]]
tokens = 24
steps = 4
batch_size = 4
warmup_steps = 1
peak_learning_rate = 0.001
max_predictions = 4
masked_probability = 0.2

[run]
output = "run"
seed = 5
device = "cpu"
threads = 1
log_every = 2
validate_every = 4
validation_rows = 16
save_every = 3

[card]
name = "a run of 12 steps"
language = "zh"
license = "Apache-2.0"
data = "written for this test"
data_license = "Apache-2.0"
"""

# Every key that a recipe has, none with its default.
EVERY_KEY = """
[data]
path = "some/data"

[model]
size = "albert-chinese-tiny"
vocab_size = 1000
embedding_size = 64
hidden_size = 96
num_hidden_layers = 6
num_hidden_groups = 3
inner_group_num = 2
num_attention_heads = 8
intermediate_size = 192
ffn_groups = 2
max_position_embeddings = 256
type_vocab_size = 3
hidden_act = "silu"
embedding_order = "project_then_norm"
position_width = "hidden"
projection_bias = false
project_equal_width = true
norm_order = "pre"
share = "ffn"
group_formula = "huggingface"
layer_norm_kind = "uer"
final_norm = true
tied_decoder = false
hidden_dropout_prob = 0.1
attention_probs_dropout_prob = 0.2
classifier_dropout_prob = 0.3
layer_norm_eps = 1e-6
head_layer_norm_eps = 1e-5
initializer_range = 0.05

[optim]
name = "adamw"
beta_1 = 0.8
beta_2 = 0.98
epsilon = 1e-8
weight_decay = 0.02
max_gradient_norm = 0.5
no_weight_decay = ["norm"]
no_trust_ratio = []

[[stages]]
steps = 1000
peak_learning_rate = 0.001
warmup_steps = 100
decay_power = 2.0
start_warmup_step = 10
tokens = 64
batch_size = 32
micro_batch_size = 16
max_predictions = 10
masked_probability = 0.2
max_ngram = 2
short_probability = 0.2
swap_probability = 0.4

[[stages]]
steps = 500
peak_learning_rate = 5e-4
warmup_steps = 50
decay_power = 0.5
start_warmup_step = 5
tokens = 256
batch_size = 16
micro_batch_size = 8
max_predictions = 38
masked_probability = 0.25
max_ngram = 1
short_probability = 0.0
swap_probability = 0.3

[run]
log_every = 10
validate_every = 100
validation_rows = 64
save_every = 200
keep = 3
stop_below = 0.5
output = "some/run"
seed = 7
device = "cpu"
precision = "bf16"
threads = 2

[card]
name = "every key"
language = "zh"
license = "Apache-2.0"
data = "a text"
data_license = "CC0-1.0"
"""


def run(*arguments: object, code: int = 0) -> None:
    """One command of albertkit, which must end with this code."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        found = main([str(x) for x in arguments])
    assert found == code, (arguments, found, told.getvalue())


def prepare(language: str) -> Tokenizer:
    """Vocabulary and data folder of a language."""
    text = Path(f"text-{language}.txt")
    documents = TEXT[language].strip().splitlines()
    text.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    kind = {"en": "sentencepiece", "zh": "wordpiece"}[language]
    given = ["--kind", kind, "--size", SIZES[language], "--language", language]
    run("build-vocab", text, *given, "--output", f"vocabulary-{language}")
    given = ["--held-out", 0.25, "--language", language]
    given += ["--vocab", f"vocabulary-{language}", "--output", f"data-{language}"]
    run("make-data", text, *given)
    text.unlink()
    return Tokenizer.load(f"vocabulary-{language}")


def numbers(
    config: AlbertConfig, parts: tuple[str, ...], head: TaskHead | None, seed: int
) -> dict[str, np.ndarray]:
    """Random tensors: every one another, biases too, so that no mistaken name stays unseen."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in sorted(parameter_shapes(config, head).items()):
        values = 0.3 * rng.standard_normal(shape).astype(np.float32)
        if "norm" in name and name.endswith("weight"):
            values += 1
        if name.startswith(parts) or (head is not None and name.startswith(head.part)):
            tensors[name] = values
    return tensors


def models(tokenizers: dict[str, Tokenizer]) -> dict[str, str]:
    """Every model folder; returns their languages by name."""

    def write(
        name: str,
        *,
        parts: tuple[str, ...] = PARTS,
        changes: dict[str, Any] | None = None,
        head: TaskHead | None = None,
        **how: Any,
    ) -> None:
        language = name[:2]
        tokenizer = tokenizers[language]
        config = AlbertConfig(
            vocab_size=tokenizer.vocab_size,
            **SHAPE | (changes or {}),
        )
        tensors = numbers(config, parts, head, seed=len(made))
        card = f"# {name}\n\nRandom numbers.\n"
        Checkpoint(config, tensors, tokenizer, head=head).save(f"model-{name}", card, **how)
        made[f"model-{name}"] = language

    made: dict[str, str] = {}
    write("en-huggingface", changes={"hidden_act": "gelu_erf"})
    write("zh-huggingface")
    write("zh-own", changes=OWN)
    body: dict[str, Any] = {"parts": ("albert.",)}
    write("zh-body-bf16", **body, dtype="bfloat16")
    write("zh-classes", **body, head=TaskHead("classification", 3, LABELS))
    write("zh-token-classes", **body, head=TaskHead("token_classification", 3, LABELS))
    several = TaskHead("multi_label", 3, LABELS, pooling="uer_mean")
    write("zh-several-classes-own", **body, head=several)
    return made


def answers(folder: str, language: str) -> dict[str, Any]:
    """What the model says to the questions of its language."""
    checkpoint = Checkpoint.load(folder)
    predictor = Predictor(folder)
    asked = QUESTIONS[language]
    texts = asked["texts"]
    tokenizer = predictor.tokenizer
    told: dict[str, Any] = {
        "language": language,
        "parameters": sum(tensor.size for tensor in checkpoint.tensors.values()),
        "config": dict(vars(checkpoint.config)),
        "ids": [tokenizer.ids(sentence) for sentence in SENTENCES[language]],
        "embeddings": {
            pooling: [row[:4] for row in predictor.embed(texts, pooling).tolist()]
            for pooling in ("mean", "cls", "pooled")
        },
    }
    if checkpoint.has_masked_lm:
        told["masks"] = [
            [{"tokens": x.tokens, "text": x.text, "probability": x.probability} for x in found]
            for found in predictor.fill_mask(asked["masks"], top_k=3)
        ]
    if checkpoint.has_sentence_order:
        told["order"] = [predictor.order(a, b) for a, b in asked["pairs"]]
    if checkpoint.head is not None and checkpoint.head.kind == "token_classification":
        told["token_labels"] = [
            [[label.name, label.probability] for label in row.labels]
            for row in predictor.label_tokens(texts)
        ]
    elif checkpoint.head is not None:
        told["labels"] = [
            {label.name: label.probability for label in row.labels}
            for row in predictor.classify(texts)
        ]
    return told


def data_facts(language: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """What lies in a data folder, and the first rows a training makes of it."""
    facts: dict[str, Any] = {}
    for split in ("train", "validation"):
        shards = Shards(f"data-{language}/{split}", tokenizer_fingerprint=tokenizer.fingerprint)
        shards.verify()
        ids, starts = shards.sentence(0)
        settings = LoaderSettings(max_tokens=24, seed=3)
        batch = PretrainingLoader(shards, tokenizer, settings, 4).batch(1)
        facts[split] = {
            "documents": shards.num_documents,
            "sentences": shards.num_sentences,
            "tokens": shards.num_tokens,
            "first_sentence": ids.tolist(),
            "word_starts": starts.tolist(),
            "batch_ids": batch.ids.tolist(),
            "batch_targets": batch.targets.tolist(),
            "batch_swapped": batch.swapped.tolist(),
        }
    return facts


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """A SIGTERM comes while this step is done: the run saves its state and ends."""
    original = Run.micro_batches

    def micro_batches(self: Run, number: int) -> Any:
        if number == step - 1:
            signal.raise_signal(signal.SIGTERM)
        return original(self, number)

    Run.micro_batches = micro_batches  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Run.micro_batches = original  # type: ignore[method-assign]


def final_weights(folder: str) -> dict[str, np.ndarray]:
    """Weights of the model of a run."""
    return dict(Checkpoint.load(f"{folder}/model").tensors)


def interrupted_run() -> dict[str, Any]:
    """The folder `run`, stopped half-way; returns how it ends when it is resumed."""
    Path("run.toml").write_text(RUN_RECIPE, encoding="utf-8")
    with stopped_after(STOPPED_AFTER):
        run("pretrain", "run.toml", code=128 + signal.SIGTERM)
    (Path("run") / "report.html").unlink()  # for eyes only, and large
    shutil.copytree("run", "resumed")
    run("pretrain", "resumed/recipe.toml", "--resume", "--out", "resumed", code=3)
    run("pretrain", "run.toml", "--out", "whole", code=3)  # 12 steps do not learn
    weights, whole = final_weights("resumed"), final_weights("whole")
    for name, tensor in weights.items():
        assert np.array_equal(tensor, whole[name]), name
    lines = [json.loads(x) for x in Path("resumed/metrics.jsonl").read_text().splitlines()]
    clock = "tokens_per_second"
    told = {
        "steps": STEPS,
        "weights": {name: tensor.ravel()[:6].tolist() for name, tensor in weights.items()},
        "means": {name: float(tensor.mean(dtype=np.float64)) for name, tensor in weights.items()},
        "metrics": [{k: v for k, v in line.items() if k != clock} for line in lines],
    }
    for path in ("resumed", "whole"):
        shutil.rmtree(path)
    Path("run.toml").unlink()
    return told


def recipe_tables() -> dict[str, Any]:
    """The folder `recipes`; returns every recipe as a table with all defaults."""
    folder = Path("recipes")
    folder.mkdir()
    for path in sorted(recipes.SHIPPED.glob("*.toml")):
        shutil.copyfile(path, folder / path.name)
    (folder / "every-key.toml").write_text(EVERY_KEY.lstrip(), encoding="utf-8")
    every = recipes.load(folder / "every-key.toml", PretrainingRecipe)
    assert set(every.model) == {"size", *AlbertConfig.__dataclass_fields__}
    for key in recipes.keys(PretrainingRecipe):
        parts = key.name.split(".")
        place: Any = every
        for part in parts:
            place = getattr(place, part.removesuffix("[]"))
            place = place[0] if part.endswith("[]") else place
        assert place != key.default, key.name
        assert f"{parts[-1]} = " in EVERY_KEY or parts == ["model"], key.name
    paths = [*sorted(folder.glob("*.toml")), Path("run/recipe.toml")]
    return {
        path.as_posix(): recipes.to_table(recipes.load(path, PretrainingRecipe)) for path in paths
    }


def brief(value: Any) -> Any:
    """The same as plain JSON, numbers with the nine digits that float32 has."""
    if isinstance(value, dict):
        return {key: brief(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [brief(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def pack_english() -> None:
    """Put the English folders into one archive: each holds the same half megabyte of tokenizer."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    folders = ["vocabulary-en", "data-en", "model-en-huggingface"]
    # Equal files side by side compress to one.
    files = sorted((f for x in folders for f in Path(x).rglob("*") if f.is_file()), key=_by_name)
    with tarfile.open(ENGLISH, "w:xz", preset=9) as archive:
        for file in files:
            archive.add(file, filter=plain)
    for folder in folders:
        shutil.rmtree(folder)


def _by_name(path: Path) -> tuple[str, str]:
    return path.name, str(path)


def make(output: Path) -> None:
    """Fill the folder; everything is made in it, so that no other path stands in any file."""
    output.mkdir()
    os.chdir(output)
    tokenizers = {language: prepare(language) for language in TEXT}
    expected = {
        "sentences": SENTENCES,
        "questions": QUESTIONS,
        "vocabularies": {
            language: {
                "kind": tokenizer.kind,
                "pieces": tokenizer.pieces,
                "fingerprint": tokenizer.fingerprint,
                "ids": [tokenizer.ids(sentence) for sentence in SENTENCES[language]],
            }
            for language, tokenizer in tokenizers.items()
        },
        "data": {language: data_facts(language, tokenizers[language]) for language in TEXT},
        "models": {
            folder: answers(folder, language) for folder, language in models(tokenizers).items()
        },
        "resumed": interrupted_run(),
        "recipes": recipe_tables(),
    }
    told = brief(expected)
    text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    text = text.replace('},"', '},\n"').replace('],"', '],\n"')
    assert json.loads(text) == told
    Path("expected.json").write_text(text + "\n", encoding="utf-8")
    pack_english()


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
