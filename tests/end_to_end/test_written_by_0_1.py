"""What albertkit 0.1 wrote can still be opened, says the same, and goes on to the same end.

The files and the answers that 0.1 gave are in tests/golden/written_by_0_1 (README.md there).
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albertkit import Checkpoint, Predictor, Tokenizer, pretrain
from albertkit import settings as recipes
from albertkit.data.loader import LoaderSettings, PretrainingLoader
from albertkit.data.shards import Shards
from albertkit.train.recipe import PretrainingRecipe

TOLERANCE = 1e-6
WRITTEN = Path(__file__).resolve().parents[1] / "golden" / "written_by_0_1"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of everything 0.1 wrote, the English folders unpacked."""
    folder = tmp_path_factory.mktemp("written") / "by_0_1"
    shutil.copytree(WRITTEN, folder)
    with tarfile.open(folder / "english.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def assert_holds(found: Any, expected: Any, place: str = "") -> None:
    """Whether everything expected is found; a table may have keys that 0.1 did not know."""
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            assert key in found, f"{place} lacks {key}"
            assert_holds(found[key], value, f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for number, (one, value) in enumerate(zip(found, expected, strict=True)):
            assert_holds(one, value, f"{place}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), place
    else:
        assert type(found) is type(expected), place
        assert found == expected, place


@pytest.mark.parametrize("language", EXPECTED["vocabularies"])
def test_vocabularies_give_the_same_ids(written: Path, language: str) -> None:
    tokenizer = Tokenizer.load(written / f"vocabulary-{language}")
    found = {
        "kind": tokenizer.kind,
        "pieces": tokenizer.pieces,
        "fingerprint": tokenizer.fingerprint,
        "ids": [tokenizer.ids(sentence) for sentence in EXPECTED["sentences"][language]],
    }
    assert_holds(found, EXPECTED["vocabularies"][language], language)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("language", EXPECTED["data"])
def test_data_give_the_same_rows(written: Path, language: str, split: str) -> None:
    folder = written / f"data-{language}"
    tokenizer = Tokenizer.load(folder / "tokenizer")
    shards = Shards(folder / split, tokenizer_fingerprint=tokenizer.fingerprint)
    shards.verify()
    ids, starts = shards.sentence(0)
    settings = LoaderSettings(max_tokens=24, seed=3)
    batch = PretrainingLoader(shards, tokenizer, settings, 4).batch(1)
    found = {
        "documents": shards.num_documents,
        "sentences": shards.num_sentences,
        "tokens": shards.num_tokens,
        "first_sentence": ids.tolist(),
        "word_starts": starts.tolist(),
        "batch_ids": [
            [*ids, *[tokenizer.pad_id] * (24 - len(ids))]  # 0.1 made rectangles
            for ids in (row.tolist() for row in np.split(batch.ids, batch.starts[1:]))
        ],
        "batch_targets": batch.targets.tolist(),
        "batch_swapped": batch.swapped.tolist(),
    }
    assert_holds(found, EXPECTED["data"][language][split], f"{language}.{split}")


@pytest.mark.parametrize("folder", EXPECTED["models"])
def test_models_give_the_same_answers(written: Path, folder: str) -> None:
    expected = EXPECTED["models"][folder]
    asked = EXPECTED["questions"][expected["language"]]
    checkpoint = Checkpoint.load(written / folder)
    predictor = Predictor(written / folder)
    sentences = EXPECTED["sentences"][expected["language"]]
    found = {
        "language": expected["language"],
        "parameters": sum(tensor.size for tensor in checkpoint.tensors.values()),
        "config": vars(checkpoint.config),
        "ids": [predictor.tokenizer.ids(sentence) for sentence in sentences],
        "embeddings": {
            pooling: [row[:4] for row in predictor.embed(asked["texts"], pooling).tolist()]
            for pooling in expected["embeddings"]
        },
    }
    if "masks" in expected:
        found["masks"] = [
            [
                {"tokens": list(x.tokens), "text": x.text, "probability": x.probability}
                for x in fillings
            ]
            for fillings in predictor.fill_mask(asked["masks"], top_k=3)
        ]
    if "order" in expected:
        found["order"] = [predictor.order(a, b) for a, b in asked["pairs"]]
    if "labels" in expected:
        found["labels"] = [
            {label.name: label.probability for label in answer.labels}
            for answer in predictor.classify(asked["texts"])
        ]
    if "token_labels" in expected:
        found["token_labels"] = [
            [[label.name, label.probability] for label in answer.labels]
            for answer in predictor.label_tokens(asked["texts"])
        ]
    assert_holds(found, expected, folder)


@pytest.mark.parametrize("path", EXPECTED["recipes"])
def test_recipes_mean_the_same(written: Path, path: str) -> None:
    found = recipes.to_table(recipes.load(written / path, PretrainingRecipe))
    assert_holds(found, EXPECTED["recipes"][path], path)


def test_a_run_stopped_half_way_goes_on_to_the_same_end(written: Path, tmp_path: Path) -> None:
    expected = EXPECTED["resumed"]
    folder = tmp_path / "run"
    shutil.copytree(written / "run", folder)
    before = (folder / "metrics.jsonl").read_bytes()
    places = {"run.output": folder, "data.path": written / "data-zh"}
    changes = [f"{key}={json.dumps(str(path))}" for key, path in places.items()]
    recipe = recipes.load(folder / "recipe.toml", PretrainingRecipe, changes)

    result = pretrain(recipe, resume=True)

    assert result.finished
    assert result.steps == expected["steps"]
    metrics = (folder / "metrics.jsonl").read_bytes()
    assert metrics.startswith(before)
    assert_holds([json.loads(line) for line in metrics.splitlines()], expected["metrics"], "line")
    weights = Checkpoint.load(result.model).tensors
    assert weights.keys() == expected["weights"].keys()
    found = {name: tensor.ravel()[:6].tolist() for name, tensor in weights.items()}
    assert_holds(found, expected["weights"], "weights")
    means = {name: float(tensor.mean(dtype=np.float64)) for name, tensor in weights.items()}
    assert_holds(means, expected["means"], "means")
