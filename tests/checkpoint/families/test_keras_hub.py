"""KerasHub's files: read as KerasHub computes them, written as KerasHub reads them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families import keras_hub
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.config import AlbertConfig
from albertkit.errors import AlbertkitError, CheckpointError, ConfigError
from albertkit.model.loading import build, build_body, build_task
from albertkit.parameters import parameter_shapes
from albertkit.tasks.head import TaskHead

TESTS = Path(__file__).resolve().parents[2]
HERE = TESTS / "golden" / "keras_hub" / "g1_i2"
SHARED = TESTS.parents[1] / "shared" / "golden" / "keras_hub"
BOUND = 3e-5


def everywhere(*names: str) -> list:
    """The case of the repository, and all those beside it."""
    cases = [pytest.param(HERE / name, id=f"g1_i2-{name}") for name in names]
    for case in sorted(SHARED.glob("*/")):
        cases += [
            pytest.param(case / name, id=f"shared-{case.name}-{name}", marks=pytest.mark.shared)
            for name in ("backbone_preset", "backbone.weights.h5", *names)
        ]
    return cases


def opened(place: Path) -> families.Opened:
    """Open a preset, or a weights file with the config of a preset beside it."""
    beside = place.parent / "masked_lm_preset" / "config.json"
    overrides = Overrides(config=beside) if place.is_file() else Overrides()
    return open_checkpoint(place, overrides=overrides)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A copy of the classifier of the repository."""
    return shutil.copytree(HERE / "text_classifier_preset", tmp_path / "classifier")


def check(found: torch.Tensor, expected: np.ndarray, case: Path) -> None:
    assert tuple(found.shape) == expected.shape
    smallest = 0.0 if case.name == "eps_probe" else 1.0  # the probe's values are small
    largest = max(smallest, float(np.abs(expected).max()))
    assert np.abs(found.detach().numpy() - expected).max() <= BOUND * largest


def check_outputs(checkpoint: Checkpoint, case: Path) -> None:
    """Every output of the original at real positions."""
    with np.load(case / "inputs.npz") as inputs, np.load(case / "outputs.npz") as outputs:
        expected = dict(outputs)
        names = ("token_ids", "segment_ids", "padding_mask", "mask_positions")
        ids, types, mask, places = (torch.from_numpy(inputs[name]) for name in names)
    mask = mask.bool()
    body = build_body(checkpoint)(ids, types, mask=mask)
    check(body.hidden[mask], expected["sequence_output"][mask.numpy()], case)
    check(body.pooled, expected["pooled_output"], case)
    if checkpoint.has_masked_lm:
        flat = (places + torch.arange(len(ids))[:, None] * ids.shape[1]).flatten()
        output = build(checkpoint)(ids, types, mask=mask, target_positions=flat)
        wanted = expected["mlm_logits"]
        check(output.mlm_logits, wanted.reshape(-1, wanted.shape[-1]), case)
    if checkpoint.head is not None:
        logits = build_task(checkpoint)(ids, types, mask=mask).logits
        assert logits is not None
        check(logits, expected["classifier_logits"], case)


@pytest.mark.parametrize(
    "place", everywhere("masked_lm_preset", "text_classifier_preset", "masked_lm.weights.h5")
)
def test_outputs_are_those_of_keras_hub(place: Path) -> None:
    found = opened(place)
    assert found.family == "keras_hub"
    assert found.checkpoint.has_masked_lm == place.name.startswith("masked_lm")
    assert (found.checkpoint.head is not None) == place.name.startswith("text_classifier")
    check_outputs(found.checkpoint, place.parent)
    report = found.result.report
    assert len(report.loaded) + len(report.ignored) == len(found.result.source_tensors)
    assert set(report.ignored.values()) <= {"state of the optimizer"}
    assert "sentence_order" in report.missing


def test_a_classifier_says_where_its_values_came_from(classifier: Path) -> None:
    found = open_checkpoint(classifier)
    assert found.checkpoint.head == TaskHead("classification", 3)
    assert found.result.provenance["classifier_dropout_prob"] == "task.json"
    assert found.result.provenance["hidden_size"] == "config.json"
    assert found.result.slots == {"optimizer": 2}


@pytest.mark.parametrize("name", ["config.json", "task.json", "model.weights.h5"])
def test_a_file_of_a_preset_stands_for_the_preset(name: str) -> None:
    found = keras_hub.detect(HERE / "masked_lm_preset" / name)
    assert found == HERE / "masked_lm_preset"


def test_a_lone_weights_file_needs_a_config(tmp_path: Path) -> None:
    place = Path(shutil.copy(HERE / "masked_lm.weights.h5", tmp_path))
    assert keras_hub.detect(tmp_path) == place
    with pytest.raises(ConfigError, match="config"):
        open_checkpoint(place)
    shutil.copy(HERE / "masked_lm_preset" / "config.json", tmp_path)
    assert keras_hub.detect(place) == place
    assert open_checkpoint(place).checkpoint.has_masked_lm


def test_others_files_are_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"class_name": "BertBackbone"}')
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.ones((2, 2), np.float32)
    assert keras_hub.detect(tmp_path) is None
    assert keras_hub.detect(tmp_path / "model.weights.h5") is None
    assert keras_hub.detect(tmp_path / "nothing") is None


def refused(folder: Path, match: str) -> None:
    with pytest.raises(AlbertkitError, match=match):
        open_checkpoint(folder, family="keras_hub")


def edit(path: Path, **values: object) -> None:
    text = json.loads(path.read_text())
    text["config"] |= values
    path.write_text(json.dumps(text))


def test_what_contradicts_is_refused(classifier: Path, tmp_path: Path) -> None:
    edit(classifier / "config.json", num_layers=4)
    refused(classifier, r"num_layers: 4 and 2")
    (classifier / "task.json").unlink()
    edit(classifier / "config.json", num_layers=2, num_heads=3)
    refused(classifier, "attention heads")
    edit(classifier / "config.json", num_heads=4, num_layers=3, num_groups=2)
    refused(classifier, "groups do not divide")
    edit(classifier / "config.json", num_layers=2, num_groups=1, relative_positions=True)
    refused(classifier, "relative_positions")
    (classifier / "config.json").write_text('{"class_name": "AlbertBackbone"}')
    refused(classifier, "config of KerasHub")


def test_a_classifier_with_an_activation_says_what_it_is_for(classifier: Path) -> None:
    edit(classifier / "task.json", activation="sigmoid")
    assert open_checkpoint(classifier).checkpoint.head == TaskHead("multi_label", 3)
    edit(classifier / "task.json", activation="relu")
    refused(classifier, "activation")
    edit(classifier / "task.json", activation="linear", num_classes=4)
    refused(classifier, r"classifier\.weight")
    edit(classifier / "task.json", num_classes="3")
    refused(classifier, "num_labels")


def test_quantized_weights_are_reported(tmp_path: Path) -> None:
    place = shutil.copytree(HERE / "masked_lm_preset", tmp_path / "preset")
    with h5py.File(place / "model.weights.h5", "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.ones((16, 24), np.int8)
    refused(place, "quantized")


def random_checkpoint(
    head: TaskHead | None = None, without: tuple[str, ...] = (), **values: object
):  # type: ignore[no-untyped-def]
    """A small random model that KerasHub can be, with both epsilons as it has them."""
    sizes: dict = {
        "vocab_size": 40,
        "embedding_size": 8,
        "hidden_size": 12,
        "num_hidden_layers": 6,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "max_position_embeddings": 16,
        "head_layer_norm_eps": 1e-5,
    }
    config = AlbertConfig(**{**sizes, **values})
    draw = np.random.default_rng(5)
    tensors = {
        name: draw.normal(size=shape).astype(np.float32)
        for name, shape in parameter_shapes(config, head).items()
        if not name.startswith(without)
    }
    return Checkpoint(config, tensors, head=head)


@pytest.mark.parametrize(
    ("head", "without"),
    [
        (None, ("sentence_order.",)),
        (None, ("sentence_order.", "masked_lm.")),
        (TaskHead("classification", 4), ("sentence_order.", "masked_lm.")),
        (TaskHead("multi_label", 2), ("sentence_order.", "masked_lm.")),
    ],
)
@pytest.mark.parametrize("values", [{}, {"share": "none", "num_hidden_groups": 1}])
def test_what_is_written_reads_back_bit_by_bit(
    head: TaskHead | None, without: tuple[str, ...], values: dict, tmp_path: Path
) -> None:
    checkpoint = random_checkpoint(head, without, **values)
    assert keras_hub.losses(checkpoint) == []
    keras_hub.write(checkpoint, tmp_path, "float32")
    back = open_checkpoint(tmp_path).checkpoint
    assert back.head == head
    assert back.config.layer_plan == checkpoint.config.layer_plan
    assert back.tensors.keys() == checkpoint.tensors.keys()
    for name, tensor in checkpoint.tensors.items():
        assert np.array_equal(back.tensors[name], tensor), name


@pytest.mark.parametrize(
    "place",
    [
        case
        for case in everywhere("masked_lm_preset", "text_classifier_preset")
        if case.id.endswith("preset")
    ],
)
def test_presets_are_written_as_they_were(place: Path, tmp_path: Path) -> None:
    keras_hub.write(open_checkpoint(place).checkpoint, tmp_path, "float32")
    for name in ("config.json", "task.json"):
        if (place / name).is_file():
            assert json.loads((tmp_path / name).read_text()) == json.loads(
                (place / name).read_text()
            )
    for name in ("model.weights.h5", "task.weights.h5"):
        if not (place / name).is_file():
            continue
        with h5py.File(place / name) as theirs, h5py.File(tmp_path / name) as ours:
            found: dict = {}
            theirs.visititems(
                lambda path, x, found=found: (
                    found.__setitem__(path, x)
                    if isinstance(x, h5py.Dataset) and "optimizer" not in path
                    else None
                )
            )
            for path, dataset in found.items():
                assert np.array_equal(ours[path][()], dataset[()]), path


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_numbers_are_written_and_read(dtype: str, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(without=("sentence_order.",))
    keras_hub.write(checkpoint, tmp_path, dtype)
    opened = open_checkpoint(tmp_path)
    assert {kind for kind, _ in opened.result.source_tensors.values()} == {dtype}
    for name, tensor in checkpoint.tensors.items():
        wanted = torch.from_numpy(tensor.copy()).to(getattr(torch, dtype)).float().numpy()
        assert np.array_equal(opened.checkpoint.tensors[name], wanted), name


def test_what_is_lost_is_named(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(TaskHead("span", 2), head_layer_norm_eps=1e-12)
    lost = [str(loss) for loss in keras_hub.losses(checkpoint)]
    assert [words for words in ("sentence-order", "span", "1e-12") if words in "; ".join(lost)] == [
        "sentence-order",
        "span",
        "1e-12",
    ]
    keras_hub.write(checkpoint, tmp_path, "float32")
    back = open_checkpoint(tmp_path).checkpoint
    assert back.has_masked_lm
    assert back.head is None
    assert not back.has_sentence_order
    labelled = TaskHead("classification", 2, ("no", "yes"))
    both = list(map(str, keras_hub.losses(random_checkpoint(labelled, ("sentence_order.",)))))
    assert any("names of the classes" in words for words in both)
    assert any("one task" in words for words in both)


def test_a_missing_pooler_is_a_loss_and_comes_back_as_missing(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(without=("sentence_order.", "albert.pooler."))
    assert any("pooler" in str(loss) for loss in keras_hub.losses(checkpoint))
    keras_hub.write(checkpoint, tmp_path, "float32")
    back = open_checkpoint(tmp_path)
    assert not back.checkpoint.has_pooler
    assert "albert.pooler" in back.result.report.missing
    assert any("all zero" in reason for reason in back.result.report.ignored.values())


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"hidden_act": "relu"}, "hidden_act=relu"),
        ({"hidden_act": "gelu_erf"}, "hidden_act=gelu_erf"),
        ({"norm_order": "pre"}, "norm_order"),
        ({"layer_norm_kind": "uer"}, "uer"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps"),
        (
            {"embedding_order": "project_then_norm", "position_width": "hidden"},
            "project_then_norm",
        ),
        ({"projection_bias": False}, "without bias"),
        ({"embedding_size": 12}, "E = H"),
        ({"num_hidden_layers": 5}, "layers dealt"),
        ({"share": "attention"}, "layers dealt"),
        ({"tied_decoder": False}, "decoder"),
        ({"ffn_groups": 2}, "ffn_groups"),
        ({"final_norm": True}, "final_norm"),
    ],
)
def test_another_model_is_never_written(values: dict, match: str, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(**values)
    with pytest.raises(CheckpointError, match=match):
        keras_hub.losses(checkpoint)
    with pytest.raises(CheckpointError, match=match):
        keras_hub.write(checkpoint, tmp_path, "float32")
    assert not list(tmp_path.iterdir())


def test_groups_that_googles_formula_misses_are_kept_apart(tmp_path: Path) -> None:
    config = AlbertConfig(num_hidden_layers=22, num_hidden_groups=22, group_formula="huggingface")
    assert len(config.attention_blocks) == 22
    assert len(replace(config, group_formula="google").attention_blocks) < 22
    checkpoint = random_checkpoint(
        num_hidden_layers=22,
        num_hidden_groups=22,
        inner_group_num=1,
        group_formula="huggingface",
    )
    keras_hub.write(checkpoint, tmp_path, "float32")
    assert open_checkpoint(tmp_path).checkpoint.config.layer_plan == [(n, n) for n in range(22)]


def test_a_sentencepiece_model_travels_in_the_assets(tmp_path: Path) -> None:
    class English:
        kind = "sentencepiece"

        def plain_vocabulary(self) -> tuple[str, bytes]:
            return "spiece.model", b"the model"

    checkpoint = random_checkpoint(without=("sentence_order.",))
    checkpoint.tokenizer = English()  # type: ignore[assignment]
    keras_hub.write(checkpoint, tmp_path, "float32")
    result = keras_hub.read(tmp_path, Overrides())
    assert result.tokenizer == tmp_path / "assets" / "tokenizer" / "vocabulary.spm"
    assert result.tokenizer.read_bytes() == b"the model"
