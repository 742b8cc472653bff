"""From any family to any other and back: the same bits, or a loss that is told and allowed."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.cli import main
from albertkit.config import AlbertConfig
from albertkit.conversion import convert
from albertkit.errors import CheckpointError, OutputError
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead

WRITING = [name for name, family in families.all_families().items() if family.WRITES]
GOOGLES = ["huggingface", "google_tf", "paddlenlp", "keras_hub", "albertkit"]
SMALL = {
    "vocab_size": 23,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
}
# What each family is: the model that it was made for.
KINDS: dict[str, dict[str, object]] = {
    "huggingface": {"hidden_act": "relu"},
    "google_tf": {},
    "brightmart_tf": {
        "embedding_order": "project_then_norm",
        "position_width": "hidden",
        "projection_bias": False,
    },
    "uer": {
        "layer_norm_kind": "uer",
        "type_vocab_size": 3,
        "layer_norm_eps": 1e-6,
        "head_layer_norm_eps": 1e-6,
        "hidden_act": "relu",
    },
    "paddlenlp": {"head_layer_norm_eps": 1e-5},
    "keras_hub": {"head_layer_norm_eps": 1e-5},
    "albertkit": {"norm_order": "pre"},
}


def random_model(
    values: dict[str, object], head: TaskHead | None = None, without: tuple[str, ...] = ()
) -> Checkpoint:
    """A checkpoint of random numbers, NaNs and signed zeros among them."""
    config = AlbertConfig(**{**SMALL, **values})  # type: ignore[arg-type]
    draw = np.random.default_rng(7)
    tensors = {
        name: draw.standard_normal(shape).astype(np.float32)
        for name, shape in parameter_shapes(config, head).items()
        if not name.startswith(without)
    }
    first = tensors["albert.embeddings.word.weight"]
    first[0, :4] = [np.nan, -0.0, np.inf, 1e-42]
    return Checkpoint(config, tensors, head=head)


def same_bits(a: Checkpoint, b: Checkpoint) -> None:
    """Every tensor equal as bits."""
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        left = np.ascontiguousarray(tensor).view(np.uint32)
        right = np.ascontiguousarray(b.tensors[name]).view(np.uint32)
        assert np.array_equal(left, right), name


@pytest.mark.parametrize("name", WRITING)
def test_each_family_reads_back_what_it_writes(name: str, tmp_path: Path) -> None:
    model = random_model(KINDS[name], without=("sentence_order",) if name == "keras_hub" else ())
    families.named(name).write(model, _folder(tmp_path / "x"), "float32")
    opened = open_checkpoint(tmp_path / "x")
    assert opened.family == name
    same_bits(model, opened.checkpoint)
    assert opened.checkpoint.config == model.config
    done = convert(tmp_path / "x", tmp_path / "y", name)
    assert done.lost == []
    same_bits(model, open_checkpoint(tmp_path / "y").checkpoint)


@pytest.mark.parametrize(("there", "back"), list(itertools.permutations(GOOGLES, 2)))
def test_googles_layout_goes_everywhere_and_back(there: str, back: str, tmp_path: Path) -> None:
    eps = 1e-5 if {there, back} & {"paddlenlp", "keras_hub"} else 1e-12
    both = {"paddlenlp", "keras_hub"} & {there, back}
    plain = not both or both == {there, back}
    model = random_model(
        {"head_layer_norm_eps": eps}, without=("sentence_order", "masked_lm") if not plain else ()
    )
    if not plain:  # no masked-LM head, so its epsilon plays no part
        model = random_model({}, without=("sentence_order", "masked_lm"))
    elif "keras_hub" in both:
        model = random_model({"head_layer_norm_eps": eps}, without=("sentence_order",))
    model.save(tmp_path / "start")
    convert(tmp_path / "start", tmp_path / "there", there)
    convert(tmp_path / "there", tmp_path / "back", back)
    convert(tmp_path / "back", tmp_path / "end", "albertkit")
    same_bits(model, open_checkpoint(tmp_path / "end").checkpoint)


@pytest.mark.parametrize("head", ["classification", "span", "multiple_choice", "regression"])
@pytest.mark.parametrize("there", ["google_tf", "paddlenlp", "huggingface"])
def test_heads_of_tasks_travel(there: str, head: str, tmp_path: Path) -> None:
    counts = {"classification": 3, "span": 2, "multiple_choice": 1, "regression": 1}
    model = random_model({}, TaskHead(head, counts[head]), without=("masked_lm", "sentence_order"))
    model.save(tmp_path / "start")
    convert(tmp_path / "start", tmp_path / "there", there)
    opened = open_checkpoint(tmp_path / "there", overrides=Overrides(head=head))
    assert opened.checkpoint.head is not None
    assert opened.checkpoint.head.kind == head
    same_bits(model, opened.checkpoint)


def test_a_loss_needs_leave_and_is_reported(tmp_path: Path) -> None:
    model = random_model({"head_layer_norm_eps": 1e-5})
    model.save(tmp_path / "start")
    with pytest.raises(CheckpointError, match="allow_loss"):
        convert(tmp_path / "start", tmp_path / "keras", "keras_hub")
    assert not (tmp_path / "keras").exists()
    done = convert(tmp_path / "start", tmp_path / "keras", "keras_hub", allow_loss=True)
    assert len(done.lost) == 1
    assert "sentence" in done.lost[0].sentence.lower()
    assert not open_checkpoint(tmp_path / "keras").checkpoint.has_sentence_order


@pytest.mark.parametrize("to", ["huggingface", "google_tf", "paddlenlp", "keras_hub"])
@pytest.mark.parametrize("kind", ["brightmart_tf", "albertkit"])
def test_another_function_is_never_written(kind: str, to: str, tmp_path: Path) -> None:
    random_model(KINDS[kind]).save(tmp_path / "start")
    with pytest.raises(CheckpointError):
        convert(tmp_path / "start", tmp_path / "end", to, allow_loss=True)
    assert not (tmp_path / "end").exists()


@pytest.mark.parametrize("to", ["huggingface", "google_tf", "keras_hub"])
def test_nan_is_found_while_numbers_are_compared(to: str, tmp_path: Path) -> None:
    model = random_model({"head_layer_norm_eps": 1e-5, "num_hidden_groups": 2})
    model.tensors["masked_lm.transform.weight"][3, 5:8] = np.nan  # some targets transpose it
    model.tensors["sentence_order.bias"][0] = -np.inf  # keras_hub leaves it out
    model.save(tmp_path / "start")
    found = open_checkpoint(tmp_path / "start").result.problems
    for name in ("embeddings.word.weight (2 of", "transform.weight (3 of", "order.bias (1 of 2 "):
        assert name in found[0]
    done = convert(tmp_path / "start", tmp_path / "end", to, allow_loss=True)
    assert done.source.result.problems == found
    done = convert(done.source, tmp_path / "end2", to, allow_loss=True)
    assert done.source.result.problems == found  # not twice


def test_uers_normalisation_is_folded_with_leave_and_measured(tmp_path: Path) -> None:
    model = random_model(KINDS["uer"])
    model.tensors["albert.embeddings.word.weight"][0] = 0.1
    model.save(tmp_path / "start")
    with pytest.raises(CheckpointError, match="n - 1"):
        convert(tmp_path / "start", tmp_path / "hf", "huggingface")
    done = convert(tmp_path / "start", tmp_path / "hf", "huggingface", allow_loss=True)
    scale = done.source.checkpoint.tensors["albert.embeddings.norm.weight"]
    folded = open_checkpoint(tmp_path / "hf").checkpoint.tensors["albert.embeddings.norm.weight"]
    # Section 3.3: the factor is sqrt((n - 1) / n) with n the normalised width, here 8.
    assert np.allclose(folded, scale * np.sqrt(7 / 8), rtol=1e-6)
    assert any("largest differences" in line for line in map(str, done.lost))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_numbers_are_the_nearest_ones(dtype: str, tmp_path: Path) -> None:
    import torch

    model = random_model({})
    model.save(tmp_path / "start")
    convert(tmp_path / "start", tmp_path / "short", "huggingface", dtype=dtype)
    again = open_checkpoint(tmp_path / "short").checkpoint
    for name, tensor in model.tensors.items():
        expected = torch.from_numpy(tensor.copy()).to(getattr(torch, dtype)).float().numpy()
        assert np.array_equal(again.tensors[name], expected, equal_nan=True), name


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    random_model({}).save(tmp_path / "start")
    (tmp_path / "end").mkdir()
    (tmp_path / "end" / "mine").write_text("kept")
    with pytest.raises(OutputError):
        convert(tmp_path / "start", tmp_path / "end", "google_tf")
    assert [x.name for x in (tmp_path / "end").iterdir()] == ["mine"]


def test_a_writer_that_errs_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_model({}).save(tmp_path / "start")
    right = families.named("huggingface").write

    def wrong(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
        tensors = dict(checkpoint.tensors)
        bias = tensors["albert.pooler.bias"].copy()
        bias[3] = np.nextafter(bias[3], np.float32(9))
        tensors["albert.pooler.bias"] = bias
        right(Checkpoint(checkpoint.config, tensors), folder, dtype)

    monkeypatch.setattr(families.named("huggingface"), "write", wrong)
    with pytest.raises(CheckpointError, match="does not read back"):
        convert(tmp_path / "start", tmp_path / "end", "huggingface")
    assert not (tmp_path / "end").exists()


def test_the_command_accounts_for_every_tensor(
    capsys: pytest.CaptureFixture[str], golden: Path, tmp_path: Path
) -> None:
    place = golden / "google_tf" / "g1_i1_gelu"
    assert main(["convert", str(place), str(tmp_path / "x"), "--to", "huggingface", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    report = output["source"]["report"]
    assert len(report["loaded"]) + len(report["ignored"]) == 97
    assert sum(use["change"] == "transposed" for use in report["loaded"]) == 9
    assert len(output["kept"]) == 32
    assert output["lost"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "tensorflow"], "tensorflow"),
        (["--to", "onnx"], "not written"),
        (["--to", "huggingface", "--set", "heads"], "KEY=VALUE"),
        (["--to", "huggingface", "--set", "num_attention_heads=0"], "num_attention_heads"),
    ],
)
def test_mistakes_are_answered(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    golden: Path,
    tmp_path: Path,
) -> None:
    place = golden / "google_tf" / "g1_i1_gelu"
    assert main(["convert", str(place), str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_the_model_card_goes_along_and_is_named(tiny_model: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_model / "model", tmp_path / "source"))
    (source / "README.md").write_text("---\nlicense: mit\n---\n")
    done = convert(source, tmp_path / "target", "google_tf", allow_loss=True)
    assert (tmp_path / "target" / "README.md").read_text() == "---\nlicense: mit\n---\n"
    assert any("README.md" in note for note in done.notes)


def test_a_config_called_bert_config_is_taken(tiny_model: Path, tmp_path: Path) -> None:
    convert(tiny_model / "model", tmp_path / "tf", "google_tf", allow_loss=True)
    config = open_checkpoint(tmp_path / "tf").checkpoint.config
    (tmp_path / "tf" / "albert_config.json").rename(tmp_path / "tf" / "bert_config.json")
    opened = open_checkpoint(tmp_path / "tf")
    assert opened.checkpoint.config == config
    assert opened.result.provenance["num_hidden_layers"] == "bert_config.json"


def test_progress_is_that_of_writing_and_of_comparing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = random_model({})
    checkpoint.save(tmp_path / "from")
    writer = families.named("huggingface")
    write, looked = writer.write, threading.Event()
    said: list[tuple[str, int, int | None]] = []

    def slow(checkpoint: Checkpoint, folder: Path, dtype: str) -> None:
        write(checkpoint, folder, dtype)
        looked.wait(10)

    def note(what: str, done: int, total: int | None) -> None:
        said.append((what, done, total))
        looked.set()

    monkeypatch.setattr(writer, "write", slow)
    convert(tmp_path / "from", tmp_path / "to", "huggingface", dtype="float16", progress=note)
    numbers = sum(tensor.size for tensor in checkpoint.tensors.values())
    assert said[0] == ("writing", 2 * numbers, 2 * numbers)  # at least, with what lies beside
    compared = [done for what, done, total in said if (what, total) == ("comparing", 4 * numbers)]
    assert compared == sorted(compared)
    assert len(compared) == len(checkpoint.tensors)
