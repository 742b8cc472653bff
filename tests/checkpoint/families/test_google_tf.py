"""google-research/albert: every golden case from its native file, back again, and what is asked."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tf_parity import GOLDEN, SHARED, cases, check_pretraining, close, plain, same, with_data

from albertkit.checkpoint import families
from albertkit.checkpoint.checkpoint import Checkpoint, Opened, open_checkpoint
from albertkit.checkpoint.families import google_tf
from albertkit.checkpoint.families._protocol import Overrides
from albertkit.checkpoint.formats.tensor_bundle import read_bundle, write_bundle
from albertkit.config import AlbertConfig
from albertkit.conversion import convert, without_gaps
from albertkit.errors import CheckpointError, ConfigError
from albertkit.model.loading import build_task
from albertkit.tasks.head import TaskHead

SMALL = GOLDEN / "google_tf" / "g1_i1_gelu"
HUB = SHARED / "google_tf" / "g2_l4_gelu_tfhub"
KINDS = {
    "classifier": "classification",
    "race": "multiple_choice",
    "regression": "regression",
    "squad_v1": "span",
    "squad_v2": "beam_span",
}
PRETRAINED = [
    *cases("google_tf/*/*"),
    *cases("brightmart_tf/google_*/*"),
]
WHOLE = [p for p in PRETRAINED if not p.values[0].parent.name.endswith("_index_variants")]
FINE_TUNED = cases("google_tf_finetune/*/*")


def dialect_of(folder: Path) -> str | None:
    return "google_fast" if folder.name.startswith("google_fast") else None


def open_case(prefix: Path, folder: Path) -> Opened:
    """A golden case from its native file; `folder` is for data files that have to be put there."""
    overrides = Overrides()
    if prefix.parent.name.endswith("_index_variants"):
        prefix = with_data(prefix, folder)
        overrides = Overrides(config=SMALL / "albert_config.json")
    return open_checkpoint(prefix, overrides=overrides)


@pytest.mark.parametrize("prefix", PRETRAINED)
def test_outputs_are_those_of_the_original(prefix: Path, tmp_path: Path) -> None:
    opened = open_case(prefix, tmp_path)
    assert opened.family == "google_tf"
    folder = prefix.parent
    if folder.name.endswith("_index_variants"):
        folder = folder.parent / "g1_i1_gelu"
    expected = AlbertConfig.load(folder / "albert_config.json", dialect=dialect_of(folder))
    assert opened.checkpoint.config == expected
    least = 0.0 if folder.name == "eps_probe" else 1.0
    check_pretraining(opened.checkpoint, folder, least)


@pytest.mark.parametrize("prefix", [*WHOLE, *FINE_TUNED])
def test_every_tensor_is_accounted_for_and_comes_back_bit_by_bit(
    prefix: Path, tmp_path: Path
) -> None:
    kinds = json.loads((prefix.parent / "head.json").read_text()) if "fine" in str(prefix) else {}
    overrides = Overrides(head=KINDS[kinds["kind"]]) if kinds else Overrides()
    opened = open_checkpoint(prefix, overrides=overrides)
    report = opened.result.report
    variables = plain(prefix.parent)
    assert set(report.loaded) == set(variables)
    assert set(report.loaded) | set(report.ignored) == set(opened.result.source_tensors)
    slots = opened.result.slots
    assert slots in ({}, {"adam_m": len(variables), "adam_v": len(variables)})
    (tmp_path / "out").mkdir()
    assert google_tf.losses(opened.checkpoint) == []
    google_tf.write(opened.checkpoint, tmp_path / "out", "float32")
    bundle = read_bundle(tmp_path / "out" / "model.ckpt-best")
    assert set(bundle.entries) == set(variables)
    for name, variable in variables.items():
        assert np.array_equal(bundle.raw(name), variable), name
    again = open_checkpoint(tmp_path / "out", overrides=overrides)
    assert again.family == "google_tf"
    assert again.checkpoint.config == opened.checkpoint.config
    assert same(again.checkpoint, opened.checkpoint)


@pytest.mark.parametrize("prefix", FINE_TUNED)
def test_heads_of_tasks_give_the_logits_of_the_original(prefix: Path) -> None:
    facts = json.loads((prefix.parent / "head.json").read_text())
    checkpoint = open_checkpoint(prefix, overrides=Overrides(head=KINDS[facts["kind"]])).checkpoint
    with np.load(prefix.parent / "inputs.npz") as file:
        given = {name: torch.from_numpy(file[name]).long() for name in file}
    with np.load(prefix.parent / "outputs.npz") as file:
        expected = dict(file)
    ids, types, mask = (given[name] for name in ("input_ids", "segment_ids", "input_mask"))
    options: dict[str, torch.Tensor] = {}
    if facts["kind"] == "race":
        ids, types, mask = (x.view(len(x), facts["choices"], -1) for x in (ids, types, mask))
    if facts["kind"] == "squad_v2":
        checkpoint.head = replace(checkpoint.head, start_n_top=facts["k1"], end_n_top=facts["k2"])
        options = {"allowed": given["p_mask"] == 0, "start_places": given["start_positions"]}
    output = build_task(checkpoint)(ids, types, mask=mask.bool(), **options)
    real = mask.bool().numpy()
    if facts["kind"] == "squad_v1":
        close(output.start, expected["start_logits"], real)
        close(output.end, expected["end_logits"], real)
    elif facts["kind"] == "squad_v2":
        for found, name in (
            (output.beam.start_scores, "start_top_log_probs"),
            (output.beam.end_scores.flatten(1), "end_top_log_probs"),
            (output.beam.starts, "train_start_log_probs"),
            (output.beam.ends, "train_end_log_probs"),
        ):
            close(found, expected[name], expected[name] > -1e29)
        close(output.beam.unanswerable, expected["cls_logits"])
    else:
        logits = output.logits
        close(logits.squeeze(-1) if facts["kind"] == "regression" else logits, expected["logits"])


def test_one_output_asks_what_it_is_for(tmp_path: Path) -> None:
    original = open_checkpoint(SMALL).checkpoint
    body = {n: x for n, x in original.tensors.items() if n.startswith("albert.")}
    draw = np.random.default_rng(5)
    head = {
        "classifier.weight": draw.standard_normal((1, 24)).astype(np.float32),
        "classifier.bias": np.ones(1, dtype=np.float32),
    }
    checkpoint = Checkpoint(original.config, {**body, **head}, head=TaskHead("regression", 1))
    google_tf.write(checkpoint, tmp_path, "float32")
    with pytest.raises(ConfigError, match=r"(?s)regression.*multiple_choice"):
        open_checkpoint(tmp_path)
    for kind in ("regression", "multiple_choice", "token_classification"):
        assert (
            open_checkpoint(tmp_path, overrides=Overrides(head=kind)).checkpoint.head.kind == kind
        )
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(tmp_path, overrides=Overrides(head="span"))
    with pytest.raises(ConfigError, match="no head of this kind"):
        open_checkpoint(SMALL, overrides=Overrides(head="span"))


@pytest.mark.shared
def test_hub_modules_open_by_their_folder_and_with_a_prefix_before_names() -> None:
    config = HUB / "assets" / "albert_config.json"
    for path, overrides in (
        (HUB, Overrides()),
        (HUB / "tfhub_module.pb", Overrides()),
        (HUB / "resaved_with_module_prefix", Overrides(config=config)),
    ):
        opened = open_checkpoint(path, overrides=overrides)
        assert opened.result.report.ignored == {}
        whole = open_checkpoint(HUB.parent / "g2_l4_gelu").checkpoint
        assert same(opened.checkpoint, whole)
    assert opened.result.report.loaded["module/bert/pooler/dense/bias"][0] == "albert.pooler.bias"


# The config, and who tells it.


def copied(folder: Path, source: Path = SMALL) -> Path:
    """A golden case without its config."""
    for file in source.glob("model.ckpt-best.*"):
        shutil.copy(file, folder)
    return folder


def test_without_a_config_the_shapes_tell_sizes_and_the_rest_is_asked(tmp_path: Path) -> None:
    copied(tmp_path)
    with pytest.raises(ConfigError) as caught:
        open_checkpoint(tmp_path)
    for key in ("num_hidden_layers", "num_attention_heads", "hidden_act"):
        assert f'"{key}": ' in caught.value.facts["to do"]
        assert f"--set {key}=" in str(caught.value.command_fix)
    assert "--detect" in str(caught.value.command_fix)
    values = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_act": "gelu_tanh"}
    opened = open_checkpoint(tmp_path, overrides=Overrides(values=values))
    expected = open_checkpoint(SMALL)
    assert opened.checkpoint.config == replace(expected.checkpoint.config, initializer_range=0.02)
    assert opened.result.provenance["hidden_act"] == "given"
    origin = opened.result.provenance["vocab_size"]
    assert origin == "shape of bert/embeddings/word_embeddings"
    assert expected.result.provenance["vocab_size"] == "albert_config.json"


def graph(folder: Path, name: str) -> None:
    content = (GOLDEN / "tf_graph" / f"{name}.meta.gz").read_bytes()
    (folder / "model.ckpt-best.meta").write_bytes(gzip.decompress(content))


def test_a_graph_tells_what_no_config_says(tmp_path: Path) -> None:
    copied(tmp_path)
    graph(tmp_path, "google_groups")  # 6 heads, gelu, 3 layers
    opened = open_checkpoint(tmp_path)
    config = opened.checkpoint.config
    assert (config.num_attention_heads, config.num_hidden_layers) == (6, 3)
    assert config.hidden_act == "gelu_tanh"
    assert opened.result.provenance["num_attention_heads"] == "graph model.ckpt-best.meta"


def test_a_graph_wins_over_the_config_and_the_user_over_both(tmp_path: Path) -> None:
    copied(tmp_path)
    shutil.copy(SMALL / "albert_config.json", tmp_path)  # 4 heads, gelu, 3 layers
    graph(tmp_path, "google_relu")  # 4 heads, relu, 2 layers
    opened = open_checkpoint(tmp_path)
    assert opened.checkpoint.config.hidden_act == "relu"
    assert opened.checkpoint.config.num_hidden_layers == 3
    problems = opened.result.problems
    assert len(problems) == 2
    assert "hidden_act=gelu_tanh, model.ckpt-best.meta relu" in problems[1]
    assert opened.result.provenance["hidden_act"] == "graph model.ckpt-best.meta"
    assert opened.result.provenance["num_attention_heads"] == "albert_config.json"
    given = open_checkpoint(tmp_path, overrides=Overrides(values={"hidden_act": "tanh"}))
    assert given.checkpoint.config.hidden_act == "tanh"
    assert given.result.provenance["hidden_act"] == "given"


def write_config(folder: Path, **changes: object) -> Path:
    values = json.loads((SMALL / "albert_config.json").read_text())
    values = {key: x for key, x in {**values, **changes}.items() if x is not None}
    path = folder / "albert_config.json"
    path.write_text(json.dumps(values))
    return path


def test_a_silent_config_is_completed_or_asked_for(tmp_path: Path) -> None:
    copied(tmp_path)
    write_config(tmp_path, hidden_act=None, vocab_size=None)
    with pytest.raises(ConfigError, match="expected: hidden_act"):
        open_checkpoint(tmp_path)
    overrides = Overrides(values={"hidden_act": "gelu_tanh"})
    opened = open_checkpoint(tmp_path, overrides=overrides)
    assert opened.checkpoint.config == open_checkpoint(SMALL).checkpoint.config
    graph(tmp_path, "google_groups")
    assert open_checkpoint(tmp_path).checkpoint.config.hidden_act == "gelu_tanh"


@pytest.mark.parametrize(
    ("changes", "values", "kind", "found"),
    [
        ({"hidden_size": 48}, {}, CheckpointError, "hidden_size=48"),
        ({"vocab_size": 121}, {}, CheckpointError, "vocab_size=121"),
        ({}, {"intermediate_size": 7}, CheckpointError, "intermediate_size=7"),
        ({}, {"heads": 7}, ConfigError, "found: heads"),
        ({}, {"hidden_act": "gelu"}, ConfigError, "gelu_tanh"),
        ({}, {"num_attention_heads": 5}, ConfigError, "heads do not divide"),
        ({"colour": 1}, {}, ConfigError, r"(?s)colour.*albert_config\.json"),
        ({"num_hidden_groups": 1, "inner_group_num": 2}, {}, CheckpointError, "missing"),
    ],
)
def test_configs_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict, values: dict, kind: type, found: str
) -> None:
    copied(tmp_path)
    write_config(tmp_path, **changes)
    with pytest.raises(kind, match=found):
        open_checkpoint(tmp_path, overrides=Overrides(values=values))


def test_two_configs_are_not_guessed_between(tmp_path: Path) -> None:
    copied(tmp_path)
    path = write_config(tmp_path)
    shutil.copy(path, tmp_path / "albert_config_tiny.json")
    with pytest.raises(ConfigError, match="several config files"):
        open_checkpoint(tmp_path)
    assert open_checkpoint(tmp_path, overrides=Overrides(config=path)).family == "google_tf"


def test_gelu_in_a_config_of_transformers_is_still_the_formula_of_google(tmp_path: Path) -> None:
    copied(tmp_path)
    write_config(tmp_path, model_type="albert", architectures=["AlbertForMaskedLM"])
    opened = open_checkpoint(tmp_path)
    assert opened.checkpoint.config.hidden_act == "gelu_tanh"
    assert "gelu by erf" in opened.result.problems[0]


def test_groups_begin_with_group_0_where_the_original_folds_them(tmp_path: Path) -> None:
    copied(tmp_path)
    write_config(tmp_path, num_hidden_groups=3)
    opened = open_checkpoint(tmp_path)
    tensors = opened.checkpoint.tensors
    assert opened.checkpoint.config.attention_blocks == [0, 1, 2]
    for block in (1, 2):
        name = "albert.encoder.attention.{}.0.query.weight"
        assert np.array_equal(tensors[name.format(block)], tensors[name.format(0)])
    assert "group 0 only" in opened.result.problems[0]


@pytest.mark.shared
def test_a_file_with_some_groups_is_not_folded(tmp_path: Path) -> None:
    source = SHARED / "google_tf" / "g2_l4_gelu"
    copied(tmp_path, source)
    values = json.loads((source / "albert_config.json").read_text())
    (tmp_path / "albert_config.json").write_text(json.dumps({**values, "num_hidden_groups": 4}))
    with pytest.raises(CheckpointError, match="missing"):
        open_checkpoint(tmp_path)


# Files and folders.


def test_tensors_without_a_place_are_refused(tmp_path: Path) -> None:
    shutil.copy(SMALL / "albert_config.json", tmp_path)
    for extra, found in (
        ({"bert/extra": np.zeros(3, dtype=np.float32)}, r"bert/extra \(3,\)"),
        ({"bert/gone/adam_m": np.zeros(3, dtype=np.float32)}, r"bert/gone/adam_m"),
        ({"steps": np.array(3)}, r"steps \(\)"),
    ):
        write_bundle(tmp_path / "model.ckpt", {**plain(SMALL), **extra})
        with pytest.raises(CheckpointError, match=found):
            open_checkpoint(tmp_path)


def test_one_variable_under_two_names_is_refused(tmp_path: Path) -> None:
    variables = plain(SMALL)
    double = {"module/bert/pooler/dense/bias": variables["bert/pooler/dense/bias"]}
    write_bundle(tmp_path / "model.ckpt", {**variables, **double})
    with pytest.raises(CheckpointError, match="twice"):
        open_checkpoint(tmp_path / "model.ckpt")


def test_a_checkpoint_is_found_by_each_of_its_paths(tmp_path: Path) -> None:
    copied(tmp_path)
    graph(tmp_path, "google_relu")
    prefix = tmp_path / "model.ckpt-best"
    suffixes = ("", ".index", ".data-00000-of-00001", ".meta")
    for path in (tmp_path, *(tmp_path / f"model.ckpt-best{suffix}" for suffix in suffixes)):
        assert families.detect(path) == ("google_tf", prefix)
    with pytest.raises(CheckpointError, match="no such file"):
        families.detect(tmp_path / "model.ckpt")


def test_of_several_checkpoints_the_one_that_the_folder_names(tmp_path: Path) -> None:
    for step in (100, 200):
        write_bundle(tmp_path / f"model.ckpt-{step}", plain(SMALL))
    with pytest.raises(CheckpointError, match=r"model\.ckpt-100, model\.ckpt-200"):
        families.detect(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/far/away/model.ckpt-200"\n')
    assert families.detect(tmp_path)[1].name == "model.ckpt-200"


def test_other_files_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "faiss.index").write_bytes(bytes(100))
    assert google_tf.detect(tmp_path) is None
    assert google_tf.detect(tmp_path / "faiss.index") is None
    assert google_tf.detect(tmp_path / "none") is None
    write_bundle(tmp_path / "resnet", {"conv/kernel": np.zeros((3, 3), dtype=np.float32)})
    assert google_tf.detect(tmp_path / "resnet") is None


def test_damaged_files_are_claimed_and_refused_with_their_path(tmp_path: Path) -> None:
    copied(tmp_path)
    shutil.copy(SMALL / "albert_config.json", tmp_path)
    index = tmp_path / "model.ckpt-best.index"
    content = index.read_bytes()
    for broken in (content[:-100], content[:50] + b"\xff" + content[51:]):
        index.write_bytes(broken)
        with pytest.raises(CheckpointError, match="damaged") as caught:
            open_checkpoint(tmp_path)
        assert caught.value.facts["where"].endswith("model.ckpt-best")
    index.write_bytes(content)
    data = tmp_path / "model.ckpt-best.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="cut"):
        open_checkpoint(tmp_path)


def test_double_precision_is_rounded_and_said_so(tmp_path: Path) -> None:
    shutil.copy(SMALL / "albert_config.json", tmp_path)
    wide = {name: variable.astype(np.float64) for name, variable in plain(SMALL).items()}
    write_bundle(tmp_path / "model.ckpt", wide)
    opened = open_checkpoint(tmp_path)
    assert same(opened.checkpoint, open_checkpoint(SMALL).checkpoint)
    assert opened.result.problems == ["32 tensors of float64 become float32: digits are lost"]


def test_the_vocabulary_comes_along(tmp_path: Path) -> None:
    words = [*"abcdefghijklmnopqrstuvwxyz"] + [f"word{n}" for n in range(89)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    for folder in ("source", "copy"):
        (tmp_path / folder).mkdir()
    copied(tmp_path / "source")
    write_config(tmp_path / "source")
    (tmp_path / "source" / "vocab_chinese.txt").write_text("\n".join(pieces) + "\n")
    opened = open_checkpoint(tmp_path / "source")
    assert opened.checkpoint.tokenizer.pieces == pieces
    google_tf.write(opened.checkpoint, tmp_path / "copy", "float32")
    assert open_checkpoint(tmp_path / "copy").checkpoint.tokenizer.pieces == pieces
    (tmp_path / "source" / "vocab.txt").write_text("\n".join(pieces) + "\n")
    opened = open_checkpoint(tmp_path / "source")
    assert opened.checkpoint.tokenizer is None
    assert "no tokenizer is read" in opened.result.problems[0]


# What is lost, and what is refused.


def changed(**values: object) -> Checkpoint:
    """A random model of a changed config, all heads there."""
    from albertkit.parameters import parameter_shapes

    config = replace(open_checkpoint(SMALL).checkpoint.config, **values)
    draw = np.random.default_rng(11)
    shapes = parameter_shapes(config)
    tensors = {n: draw.standard_normal(shape).astype(np.float32) for n, shape in shapes.items()}
    return Checkpoint(config, tensors)


@pytest.mark.parametrize(
    "values",
    [
        {"embedding_order": "project_then_norm", "position_width": "hidden"},
        {"layer_norm_kind": "uer"},
        {"hidden_act": "gelu_erf"},
        {"hidden_act": "silu"},
        {"layer_norm_eps": 1e-6},
        {"type_vocab_size": 3},
        {"norm_order": "pre"},
        {"final_norm": True},
        {"projection_bias": False},
        {"embedding_size": 24, "project_equal_width": True},
        {"ffn_groups": 2},
        {"share": "attention"},
    ],
)
def test_models_that_google_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="something else"):
        google_tf.losses(changed(**values))


@pytest.mark.parametrize("values", [{"share": "none"}, {"num_hidden_groups": 2}, {}])
def test_layers_are_dealt_to_groups_as_google_does(tmp_path: Path, values: dict) -> None:
    checkpoint = changed(**values)
    assert google_tf.losses(checkpoint) == []
    google_tf.write(checkpoint, tmp_path, "float32")
    again = open_checkpoint(tmp_path).checkpoint
    assert again.config.layer_plan == checkpoint.config.layer_plan
    assert same(again, checkpoint)


def test_blocks_of_transformers_formula_get_googles_numbers(tmp_path: Path) -> None:
    checkpoint = changed(num_hidden_layers=10, num_hidden_groups=58, group_formula="huggingface")
    assert checkpoint.config.attention_blocks[5] == 28  # 10 layers in steps of 5.8
    google_tf.write(checkpoint, tmp_path, "float32")
    again = open_checkpoint(tmp_path).checkpoint
    assert again.config.attention_blocks[5] == 29
    old, new = without_gaps(checkpoint), without_gaps(again)
    assert set(old) == set(new)
    assert all(np.array_equal(old[name], new[name]) for name in old)
    other = changed(num_hidden_layers=22, num_hidden_groups=22, group_formula="huggingface")
    with pytest.raises(CheckpointError, match="dealt to groups"):
        google_tf.losses(other)


def test_a_decoder_of_its_own_and_the_epsilon_of_the_head_are_lost(tmp_path: Path) -> None:
    for values, name in (
        ({"tied_decoder": False}, "tied_decoder"),
        ({"head_layer_norm_eps": 1e-5}, "head_layer_norm_eps=1e-05"),
    ):
        model = changed(**values)
        assert [name in str(loss) for loss in google_tf.losses(model)] == [True]
        model.save(tmp_path / f"{name}-source")
        done = convert(tmp_path / f"{name}-source", tmp_path / name, "google_tf", allow_loss=True)
        assert done.lost == google_tf.losses(model)
        again = open_checkpoint(tmp_path / name)
        assert again.result.report.missing == (["masked_lm"] if name == "tied_decoder" else [])
        assert again.checkpoint.config.head_layer_norm_eps == 1e-12


def test_heads_that_have_no_name_are_lost() -> None:
    body = {n: x for n, x in changed().tensors.items() if n.startswith("albert.")}
    head = {
        "classifier.weight": np.zeros((3, 24), dtype=np.float32),
        "classifier.bias": np.zeros(3, dtype=np.float32),
    }
    config = changed().config
    for task, lost in (
        (TaskHead("token_classification", 3), "token_classification"),
        (TaskHead("classification", 3, pooling="uer_mean"), "uer_mean"),
        (TaskHead("multi_label", 3), "multi_label"),
        (TaskHead("classification", 3, labels=("a", "b", "c")), "a, b, c"),
    ):
        checkpoint = Checkpoint(config, {**body, **head}, head=task)
        assert lost in google_tf.losses(checkpoint)[0].sentence
    assert (
        google_tf.losses(Checkpoint(config, {**body, **head}, head=TaskHead("classification", 3)))
        == []
    )


def test_half_precision_is_written_and_read_as_float32(tmp_path: Path) -> None:
    checkpoint = changed()
    for dtype in ("float16", "bfloat16"):
        folder = tmp_path / dtype
        folder.mkdir()
        google_tf.write(checkpoint, folder, dtype)
        again = open_checkpoint(folder)
        kinds = {kind for kind, _ in again.result.source_tensors.values()}
        assert kinds == {dtype}
        name = "albert.pooler.weight"
        error = np.abs(again.checkpoint.tensors[name] - checkpoint.tensors[name])
        assert 0 < error.max() < 0.02
