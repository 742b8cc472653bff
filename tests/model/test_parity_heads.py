"""Heads of tasks give the logits that google's and transformers' fine-tuned models gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from names_of_tf import renamed
from torch.nn import functional as F

from albertkit.checkpoint.checkpoint import Checkpoint, open_checkpoint
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.config import AlbertConfig
from albertkit.model.loading import build_task, tensors_of
from albertkit.model.outputs import TaskOutput
from albertkit.tasks.head import TaskHead

TESTS = Path(__file__).resolve().parents[1]
SHARED = TESTS.parents[1] / "shared" / "golden"
GOOGLE_KINDS = {
    "classifier": "classification",
    "race": "multiple_choice",
    "regression": "regression",
    "squad_v1": "span",
    "squad_v2": "beam_span",
}
# google's variable, ours, and whether its axes are reversed.
GOOGLE_HEADS = {
    "output_weights": ("classifier.weight", False),
    "output_bias": ("classifier.bias", False),
    "cls/squad/output_weights": ("span.weight", False),
    "cls/squad/output_bias": ("span.bias", False),
    "start_logits/dense/kernel": ("beam_span.start.weight", True),
    "start_logits/dense/bias": ("beam_span.start.bias", False),
    "end_logits/dense_0/kernel": ("beam_span.end_transform.weight", True),
    "end_logits/dense_0/bias": ("beam_span.end_transform.bias", False),
    "end_logits/LayerNorm/gamma": ("beam_span.end_norm.weight", False),
    "end_logits/LayerNorm/beta": ("beam_span.end_norm.bias", False),
    "end_logits/dense_1/kernel": ("beam_span.end.weight", True),
    "end_logits/dense_1/bias": ("beam_span.end.bias", False),
    "answer_class/dense_0/kernel": ("beam_span.answer_transform.weight", True),
    "answer_class/dense_0/bias": ("beam_span.answer_transform.bias", False),
    "answer_class/dense_1/kernel": ("beam_span.answer.weight", True),
}
Arrays = dict[str, np.ndarray]


def cases(root: Path, pattern: str) -> list:
    """Folders below this root that have a case, as parameters."""
    outside = root == SHARED
    return [
        pytest.param(
            path.parent,
            id=("shared/" if outside else "") + f"{path.parts[-3]}/{path.parts[-2]}",
            marks=[pytest.mark.shared] if outside else [],
        )
        for path in sorted(root.glob(pattern))
    ]


def arrays(folder: Path) -> tuple[dict[str, torch.Tensor], Arrays]:
    """Inputs and expected outputs of a case."""
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        return {name: torch.from_numpy(inputs[name]).long() for name in inputs}, dict(outputs)


def close(found: torch.Tensor, expected: np.ndarray, real: np.ndarray | None = None) -> None:
    """At real positions within 3e-5 of the largest value, which counts as 1 at least."""
    assert found.shape == expected.shape
    where = np.ones(expected.shape, dtype=bool) if real is None else real
    wanted = expected[where]
    largest = max(1.0, np.abs(wanted).max())
    assert np.abs(found.detach().numpy()[where] - wanted).max() <= 3e-5 * largest


def open_google(folder: Path) -> Checkpoint:
    facts = json.loads((folder / "head.json").read_text())
    kind = GOOGLE_KINDS[facts["kind"]]
    count = {"classification": facts.get("labels"), "span": 2, "beam_span": 2}.get(kind, 1)
    beam = {"start_n_top": facts["k1"], "end_n_top": facts["k2"]} if kind == "beam_span" else {}
    with np.load(folder / "weights.npz") as weights:
        body = {name: weights[name] for name in weights if name.startswith("bert/")}
        tensors = renamed(body)
        for name in set(weights) - set(body) - {"global_step"}:
            ours, reverse = GOOGLE_HEADS[name]
            tensors[ours] = weights[name].T if reverse else weights[name]
    config = AlbertConfig.load(folder / "albert_config.json")
    return Checkpoint(config, tensors, head=TaskHead(kind, count, **beam))


def check_google(checkpoint: Checkpoint, folder: Path) -> None:
    """Compare everything that google's program gave for this case."""
    inputs, expected = arrays(folder)
    assert checkpoint.head is not None
    kind = checkpoint.head.kind
    ids, types, real = (inputs[name] for name in ("input_ids", "segment_ids", "input_mask"))
    options: dict[str, torch.Tensor] = {}
    if kind == "multiple_choice":
        shape = (len(ids), expected["logits"].shape[1], -1)
        ids, types, real = (x.view(shape) for x in (ids, types, real))
    if kind == "beam_span":
        options = {"allowed": inputs["p_mask"] == 0, "start_places": inputs["start_positions"]}
    output = build_task(checkpoint)(ids, types, mask=real.bool(), **options)
    if kind == "span":
        where = real.bool().numpy()
        close(output.start, expected["start_logits"], where)
        close(output.end, expected["end_logits"], where)
        loss = F.cross_entropy(output.start, inputs["start_positions"])
        loss = (loss + F.cross_entropy(output.end, inputs["end_positions"])) / 2
        close(loss, expected["loss"])
    elif kind == "beam_span":
        check_beam(output, inputs, expected)
    elif kind == "regression":
        close(output.logits.squeeze(-1), expected["logits"])
    else:
        close(output.logits, expected["logits"])
        close(F.cross_entropy(output.logits, inputs["labels"]), expected["loss"])


def check_beam(output: TaskOutput, inputs: dict[str, torch.Tensor], expected: Arrays) -> None:
    """The beam and, with the true starts, what google trains on.

    Places near -1e30 are ties: only that they are there is compared.
    """
    beam = output.beam
    pairs = [
        (beam.start_scores, "start_top_log_probs", beam.start_places, "start_top_index"),
        (
            beam.end_scores.flatten(1),
            "end_top_log_probs",
            beam.end_places.flatten(1),
            "end_top_index",
        ),
    ]
    for scores, score_name, places, place_name in pairs:
        possible = expected[score_name] > -1e29
        close(scores, expected[score_name], possible)
        assert (scores.detach().numpy()[~possible] < -1e29).all()
        if place_name == "end_top_index":  # ends of a start that is not possible mean nothing
            count = scores.shape[1] // beam.start_scores.shape[1]
            possible &= np.repeat(expected["start_top_log_probs"] > -1e29, count, axis=1)
        assert (places.numpy() == expected[place_name])[possible].all()
    close(beam.unanswerable, expected["cls_logits"])
    for found, name in ((beam.starts, "train_start_log_probs"), (beam.ends, "train_end_log_probs")):
        possible = expected[name] > -1e29
        close(found, expected[name], possible)
        assert (found.detach().numpy()[~possible] < -1e29).all()
    loss = F.nll_loss(beam.starts, inputs["start_positions"])
    loss = loss + F.nll_loss(beam.ends, inputs["end_positions"])
    impossible = inputs["is_impossible"].float()
    loss = loss + F.binary_cross_entropy_with_logits(beam.unanswerable, impossible)
    close(loss / 2, expected["loss"])


GOOGLE = "google_tf_finetune/*/weights.npz"


@pytest.mark.parametrize("folder", [*cases(TESTS / "golden", GOOGLE), *cases(SHARED, GOOGLE)])
def test_heads_of_google_give_its_logits(folder: Path) -> None:
    check_google(open_google(folder), folder)


@pytest.mark.parametrize("folder", cases(SHARED, GOOGLE))
def test_heads_of_google_are_found_in_its_own_files(folder: Path) -> None:
    facts = json.loads((folder / "head.json").read_text())
    overrides = Overrides(head=GOOGLE_KINDS[facts["kind"]])
    checkpoint = open_checkpoint(folder, overrides=overrides).checkpoint
    if checkpoint.head.kind == "beam_span":  # the file does not say how wide the beam is
        head = TaskHead("beam_span", 2, start_n_top=facts["k1"], end_n_top=facts["k2"])
        checkpoint = Checkpoint(checkpoint.config, checkpoint.tensors, head=head)
    check_google(checkpoint, folder)


HEADS = [
    "multi_label",
    "multiple_choice",
    "question_answering",
    "regression",
    "sequence_classification",
    "token_classification",
]


def check_rows(checkpoint: Checkpoint, folder: Path, *, ends: bool = True) -> None:
    """Compare the logits that transformers or PaddleNLP gave for this case."""
    inputs, expected = arrays(folder)
    real = inputs["attention_mask"].bool()
    output = build_task(checkpoint)(inputs["input_ids"], inputs["token_type_ids"], mask=real)
    if checkpoint.head.kind == "span":
        close(output.start, expected["start_logits"], real.numpy())
        if ends:
            close(output.end, expected["end_logits"], real.numpy())
    else:
        tokens = checkpoint.head.kind == "token_classification"
        close(output.logits, expected["logits"], real.numpy() if tokens else None)


def of_huggingface(root: Path) -> list:
    return [
        case for head in HEADS for case in cases(root, f"huggingface/*/{head}/model.safetensors")
    ]


@pytest.mark.parametrize("folder", [*of_huggingface(TESTS / "golden"), *of_huggingface(SHARED)])
def test_heads_of_transformers_give_its_logits(folder: Path) -> None:
    check_rows(Checkpoint.load(folder), folder)


@pytest.mark.parametrize(
    "folder",
    [
        case
        for head in HEADS
        for pattern in (
            f"huggingface/old_names_*/{head}/pytorch_model.bin",
            f"paddlenlp/*/{head}*/*.pdparams",
        )
        for case in cases(SHARED, pattern)
    ],
)
def test_heads_in_files_of_other_kinds_give_their_logits(folder: Path) -> None:
    silent = folder.parts[-2].endswith("v2.2.2") and folder.name == "sequence_classification"
    overrides = Overrides(head="classification" if silent else None)
    checkpoint = open_checkpoint(folder, overrides=overrides).checkpoint
    # PaddleNLP 2.8.1 returns its start logits as the end logits.
    check_rows(checkpoint, folder, ends="paddlenlp" not in folder.parts)


def test_what_a_head_was_built_from_is_what_it_gives_back() -> None:
    folder = TESTS / "golden" / "google_tf_finetune" / "squad_v2"
    checkpoint = open_google(folder)
    again = tensors_of(build_task(checkpoint))
    assert set(again) == set(checkpoint.tensors)
    for name, tensor in again.items():
        np.testing.assert_array_equal(tensor, checkpoint.tensors[name])
