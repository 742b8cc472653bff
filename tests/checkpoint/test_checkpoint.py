"""The checkpoint folder: round trips, strict accounts, and what transformers makes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from transformers import AlbertForPreTraining, AlbertModel, AutoConfig, AutoModel

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.checkpoint.hf_names import huggingface_rules
from albertkit.config import AlbertConfig
from albertkit.errors import CheckpointError, ConfigError, OutputError, VocabularyError
from albertkit.model.albert import Albert
from albertkit.model.heads import AlbertForPretraining
from albertkit.model.loading import build, build_body, tensors_of
from albertkit.parameters import parameter_shapes
from albertkit.sizes import SIZES
from albertkit.text.tokenizer import Tokenizer

SMALL = {
    "vocab_size": 50,
    "embedding_size": 16,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}
FITTING = [
    {},
    {"share": "none"},
    {"num_hidden_groups": 2, "inner_group_num": 2, "hidden_act": "relu"},
    {"num_hidden_groups": 12, "hidden_act": "gelu_erf"},  # google uses groups 0, 3, 6, 9
    {"embedding_size": 32, "project_equal_width": True, "hidden_act": "silu"},
    {"num_hidden_layers": 22, "num_hidden_groups": 22, "group_formula": "huggingface"},
    {"layer_norm_eps": 1e-5, "head_layer_norm_eps": 1e-5, "hidden_act": "tanh"},
    {"hidden_act": "linear", "type_vocab_size": 3},
]
OWN_LAYOUT = {
    "embedding_order": "project_then_norm",
    "position_width": "hidden",
    "projection_bias": False,
}
REFUSED = [
    OWN_LAYOUT,
    {**OWN_LAYOUT, "norm_order": "pre", "hidden_act": "relu"},
    {"norm_order": "pre"},
    {"ffn_groups": 16, "hidden_act": "relu"},
    {"layer_norm_kind": "uer"},
    {"projection_bias": False},
    {"embedding_size": 32},
    {"share": "attention"},
    {"share": "ffn"},
    {"head_layer_norm_eps": 1e-5},
    {"num_hidden_layers": 22, "num_hidden_groups": 22},
]


def model_of(changes: dict[str, object], **options: bool) -> AlbertForPretraining:
    """A small model whose every number is random, biases and scales too."""
    torch.manual_seed(1)
    model = AlbertForPretraining(AlbertConfig(**{**SMALL, **changes}), **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def run(model: AlbertForPretraining) -> torch.Tensor:
    """Every logit for a padded batch, in one vector."""
    output = model(IDS, TYPES, mask=MASK.bool(), target_positions=torch.arange(IDS.numel()))
    return torch.cat([output.mlm_logits.flatten(), output.sop_logits.flatten()]).detach()


def run_theirs(model: AlbertForPreTraining) -> torch.Tensor:
    output = model(IDS, attention_mask=MASK, token_type_ids=TYPES)
    return torch.cat([output.prediction_logits.flatten(), output.sop_logits.flatten()]).detach()


IDS = torch.arange(14).view(2, 7) + 5
TYPES = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0]])
MASK = torch.tensor([[1, 1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    largest = max(1.0, float(one.abs().max()))
    assert float((one - other).abs().max()) <= 2e-5 * largest


@pytest.mark.parametrize("changes", FITTING, ids=str)
def test_transformers_runs_what_we_save_and_we_run_what_it_saves(
    changes: dict[str, object], tmp_path: Path
) -> None:
    model = model_of(changes)
    assert model.config.fits_huggingface == []
    Checkpoint(model.config, tensors_of(model)).save(tmp_path / "ours")
    theirs, report = AlbertForPreTraining.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report.values()), report
    assert_close(run(model), run_theirs(theirs.eval()))
    theirs.save_pretrained(tmp_path / "theirs")
    assert_close(run(model), run(build(Checkpoint.load(tmp_path / "theirs"))))


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_a_model_that_transformers_cannot_be_is_refused_there_and_runs_here(
    changes: dict[str, object], tmp_path: Path
) -> None:
    model = model_of(changes)
    assert len(model.config.fits_huggingface) >= 1
    Checkpoint(model.config, tensors_of(model)).save(tmp_path / "ours")
    for theirs in (AutoConfig, AutoModel, transformers.AutoModelForMaskedLM):
        with pytest.raises(ValueError, match="albertkit"):
            theirs.from_pretrained(tmp_path / "ours")
    for theirs in (AlbertModel, AlbertForPreTraining, transformers.AlbertForMaskedLM):
        with pytest.raises(OSError, match="no file named model.safetensors"):
            theirs.from_pretrained(tmp_path / "ours")
    loaded = Checkpoint.load(tmp_path / "ours")
    assert loaded.config == model.config
    assert torch.equal(run(build(loaded)), run(model))


@pytest.mark.parametrize("heads", ["masked_lm", "pooled body", "body"])
def test_heads_that_are_absent_stay_absent(heads: str, tmp_path: Path) -> None:
    config = AlbertConfig(**SMALL)
    if heads == "masked_lm":
        module = AlbertForPretraining(config, sentence_order=False, pooler=False)
    else:
        module = Albert(config, pooler=heads == "pooled body")
    Checkpoint(config, tensors_of(module)).save(tmp_path / "x")
    loaded = Checkpoint.load(tmp_path / "x")
    assert loaded.has_masked_lm == (heads == "masked_lm")
    assert loaded.has_pooler == (heads == "pooled body")
    assert not loaded.has_sentence_order
    their_body, report = AlbertModel.from_pretrained(
        tmp_path / "x", output_loading_info=True, add_pooling_layer=heads == "pooled body"
    )
    assert not report["missing_keys"]
    ours = build_body(loaded)(IDS, TYPES).hidden
    theirs = their_body.eval()(IDS, token_type_ids=TYPES).last_hidden_state
    assert_close(ours.detach(), theirs.detach())
    if heads != "masked_lm":
        with pytest.raises(CheckpointError, match="masked-LM head"):
            build(loaded)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_float32(kind: torch.dtype, tmp_path: Path) -> None:
    model = model_of({})
    theirs = saved_by_transformers(model, tmp_path)
    theirs.to(kind).save_pretrained(tmp_path / "theirs")
    loaded = Checkpoint.load(tmp_path / "theirs")
    for name, tensor in tensors_of(model).items():
        expected = torch.from_numpy(tensor).to(kind).float().numpy()
        assert loaded.tensors[name].dtype == np.float32
        assert np.array_equal(loaded.tensors[name], expected), name


def saved_by_transformers(model: AlbertForPretraining, tmp_path: Path) -> AlbertForPreTraining:
    """The same model as one of transformers, by way of our folder."""
    Checkpoint(model.config, tensors_of(model)).save(tmp_path / "ours")
    return AlbertForPreTraining.from_pretrained(tmp_path / "ours")


def edit(folder: Path, change: object) -> None:
    """Change the tensors of a folder's weights file."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})


def test_copies_of_tied_tensors_and_position_ids_are_left_out_with_a_reason(
    tmp_path: Path,
) -> None:
    saved_by_transformers(model_of({}), tmp_path)

    def add(tensors: dict[str, torch.Tensor]) -> None:
        words = tensors["albert.embeddings.word_embeddings.weight"]
        tensors["predictions.decoder.weight"] = words.clone()
        tensors["predictions.decoder.bias"] = tensors["predictions.bias"].clone()
        tensors["albert.embeddings.position_ids"] = torch.arange(24)[None]

    edit(tmp_path / "ours", add)
    loaded = Checkpoint.load(tmp_path / "ours")
    assert "predictions.decoder.weight" in loaded.ignored
    assert "albert.embeddings.position_ids" in loaded.ignored

    def untie(tensors: dict[str, torch.Tensor]) -> None:
        tensors["predictions.decoder.weight"][3, 2] += 1

    edit(tmp_path / "ours", untie)
    with pytest.raises(CheckpointError, match="not the word table"):
        Checkpoint.load(tmp_path / "ours")


def test_a_file_may_keep_the_other_name_of_two_tied_tensors(tmp_path: Path) -> None:
    model = model_of({})
    saved_by_transformers(model, tmp_path)

    def turn(tensors: dict[str, torch.Tensor]) -> None:
        tensors["predictions.decoder.bias"] = tensors.pop("predictions.bias")

    edit(tmp_path / "ours", turn)
    assert torch.equal(run(build(Checkpoint.load(tmp_path / "ours"))), run(model))


@pytest.mark.parametrize(
    ("layers", "groups", "unused"), [(4, 12, 8), (22, 22, 0), (6, 4, 0), (4, 3, 0)]
)
def test_groups_of_transformers_files_are_dealt_by_its_formula(
    layers: int, groups: int, unused: int, tmp_path: Path
) -> None:
    small = {**SMALL, "num_hidden_layers": layers, "num_hidden_groups": groups}
    torch.manual_seed(2)
    theirs = AlbertForPreTraining(transformers.AlbertConfig(**small)).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = Checkpoint.load(tmp_path / "theirs")
    assert_close(run(build(loaded)), run_theirs(theirs))
    left = [name for name, reason in loaded.ignored.items() if reason.startswith("no layer")]
    assert len(left) == 16 * unused
    loaded.save(tmp_path / "again")
    again = AlbertForPreTraining.from_pretrained(tmp_path / "again").eval()
    assert_close(run_theirs(again), run_theirs(theirs))


class ChineseTokenizer:
    """As much of a tokenizer as saving a folder needs."""

    kind, vocab_size = "wordpiece", 50
    pad_id, cls_id, sep_id = 0, 101, 102

    def save(self, folder: Path) -> None:
        (folder / "vocab.txt").write_text("[PAD]\n")


def test_transformers_gets_the_real_ids_of_the_tokenizer(tmp_path: Path) -> None:
    model = model_of({})
    tokenizer = ChineseTokenizer()
    Checkpoint(model.config, tensors_of(model), tokenizer).save(tmp_path / "x")
    config = AutoConfig.from_pretrained(tmp_path / "x")
    ids = (config.pad_token_id, config.bos_token_id, config.eos_token_id)
    assert ids == (0, 101, 102)
    assert config.architectures == ["AlbertForPreTraining"]
    assert (tmp_path / "x" / "vocab.txt").exists()


@pytest.mark.shared
@pytest.mark.parametrize("vocabulary", ["en/30k-clean.model", "zh/vocab.txt"])
def test_a_tokenizer_travels_with_its_model_and_no_other(
    vocabulary: str, shared: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.load(shared / "vocab" / vocabulary)
    model = model_of({"vocab_size": tokenizer.vocab_size})
    Checkpoint(model.config, tensors_of(model), tokenizer).save(tmp_path / "x")
    loaded = Checkpoint.load(tmp_path / "x")
    assert loaded.tokenizer.fingerprint == tokenizer.fingerprint
    ids = tokenizer.encode("A [MASK] 1,000 国", allow_mask=True).ids
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "x")
    assert opened("A [MASK] 1,000 国")["input_ids"] == ids
    small = model_of({})
    with pytest.raises(VocabularyError):
        Checkpoint(small.config, tensors_of(small), tokenizer).save(tmp_path / "y")
    assert not (tmp_path / "y").exists()


WORDS = "albert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"classifier.weight": torch.zeros(3, 32)}), "classifier.weight"),
        (lambda t: t.pop(WORDS), r"missing: albert.embeddings.word.weight \(50, 16\)"),
        (lambda t: t.pop("albert.pooler.bias"), "missing: albert.pooler.bias"),
        (lambda t: t.pop("predictions.dense.bias"), "missing: masked_lm.transform.bias"),
        (lambda t: t.update({WORDS: torch.zeros(51, 16)}), r"is \(51, 16\), not \(50, 16\)"),
        (lambda t: t.update({WORDS: torch.zeros(50, 16, dtype=torch.int64)}), "not float32"),
        (lambda t: t.update({WORDS: torch.zeros(50, 16, dtype=torch.int8)}), "unusual kind"),
        (
            lambda t: [t.pop(n) for n in list(t) if n.startswith("albert.pooler")],
            "missing: albert.pooler.weight",
        ),
    ],
)
def test_every_tensor_is_accounted_for(change: object, message: str, tmp_path: Path) -> None:
    saved_by_transformers(model_of({}), tmp_path)
    edit(tmp_path / "ours", change)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(tmp_path / "ours")


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"{}" * 40, "cut"])
def test_a_damaged_weights_file_is_named(content: bytes | str, tmp_path: Path) -> None:
    saved_by_transformers(model_of({}), tmp_path)
    path = tmp_path / "ours" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if content == "cut" else content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        Checkpoint.load(tmp_path / "ours")


def test_a_folder_that_is_no_checkpoint_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        Checkpoint.load(tmp_path / "nowhere")
    (tmp_path / "x").mkdir()
    with pytest.raises(CheckpointError, match="nothing in it"):
        Checkpoint.load(tmp_path / "x")
    (tmp_path / "x" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match=r"(?s)bert.*config\.json"):
        Checkpoint.load(tmp_path / "x")
    values = {**AlbertConfig(**SMALL).to_json()}
    (tmp_path / "x" / "config.json").write_text(json.dumps(values))
    (tmp_path / "x" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        Checkpoint.load(tmp_path / "x")


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of({})
    checkpoint = Checkpoint(model.config, tensors_of(model))
    checkpoint.save(tmp_path / "x", "# A card\n")
    assert (tmp_path / "x" / "README.md").read_text() == "# A card\n"
    before = sorted(os.listdir(tmp_path / "x"))
    with pytest.raises(OutputError):
        checkpoint.save(tmp_path / "x")
    checkpoint.save(tmp_path / "x", replace=True)
    assert set(before) - set(os.listdir(tmp_path / "x")) == {"README.md"}

    def fail(path: Path, tensors: object, dtype: str) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("albertkit.checkpoint.families._folder.write_tensors", fail)
    with pytest.raises(OutputError, match="free"):
        checkpoint.save(tmp_path / "y")
    assert sorted(os.listdir(tmp_path)) == ["x"]


def test_token_ids_of_the_source_are_kept_in_the_config(tmp_path: Path) -> None:
    saved_by_transformers(model_of({}), tmp_path)
    path = tmp_path / "ours" / "config.json"
    ids = {"pad_token_id": 0, "bos_token_id": 41, "eos_token_id": 42}
    path.write_text(json.dumps({**json.loads(path.read_text()), **ids}))
    Checkpoint.load(tmp_path / "ours").save(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {name: again[name] for name in ids} == ids


@pytest.mark.parametrize("name", SIZES)
def test_names_and_shapes_are_those_of_the_module(name: str) -> None:
    with torch.device("meta"):
        module = AlbertForPretraining(SIZES[name])
    built = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert built == parameter_shapes(SIZES[name])


def test_english_base_has_the_34_tensors_of_the_hub_files() -> None:
    rules = huggingface_rules(SIZES["albert-base-v2"], renumber=True)
    names = {ours: rule.theirs for ours, rule in rules.items()}
    assert len(set(names.values())) == 32  # and two tied copies that are not stored
    layer = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    assert f"{layer}.attention.dense.weight" in names.values()
    assert f"{layer}.full_layer_layer_norm.bias" in names.values()
