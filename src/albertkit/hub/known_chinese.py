"""The Chinese models: google's archives, Paddle's files, albert_zh's archives, and the hub's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from albertkit.config import AlbertConfig
from albertkit.hub import known_scores
from albertkit.hub.known import ALL_HEADS, Files, Hub, KnownModel, Nowhere, Score
from albertkit.sizes import SIZES

_GOOGLE = "https://storage.googleapis.com/albert_models"
_BRIGHTMART = "https://storage.googleapis.com/albert_zh"
_PADDLE = "https://bj.bcebos.com/paddlenlp/models/transformers/albert"
_SIZES = ("base", "large", "xlarge", "xxlarge")

_RELU = "relu, not gelu: the graph has Relu, and its authors confirm it"
_LOWER = "text must be lower-cased: the vocabulary has no upper-case letter, USA would be [UNK]"
_VOCABULARY = "WordPiece (vocab.txt): transformers' AlbertTokenizer gives <unk>, BertTokenizer fits"
_IDS = "the config says bos 2 and eos 3; [CLS] is 101 and [SEP] is 102"
_XXLARGE = "16 heads, not the 64 of the paper's rule: google chose that for Chinese"
_XLARGE = "16 heads, not the 32 of the paper's rule"
_OWN = (
    "positions and segments at hidden width, no bias in the projection, masked-LM head of hidden "
    "width: transformers cannot express it"
)
_INNER = "the masked-LM head predicts ##-forms inside words, as it was trained to"
_SLOTS = "the archive holds optimizer slots too; they are ignored"
_LICENCE_PADDLE = "Apache-2.0 (repository)"


def _google(size: str) -> KnownModel:
    file = f"albert_{size}_zh.tar.gz"
    # albert_zh has archives of the same names up to large, which are other models.
    short = (f"albert_{size}_zh",) if size in ("xlarge", "xxlarge") else ()
    heads = {"xlarge": (_XLARGE,), "xxlarge": (_XXLARGE,)}.get(size, ())
    return KnownModel(
        name=f"google-albert-{size}-zh",
        aliases=(*short, file),
        language="Chinese",
        family="google_tf",
        layout="google",
        source=Files({file: f"{_GOOGLE}/{file}"}),
        config=SIZES[f"albert-chinese-{size}"],
        heads=ALL_HEADS,
        licence="Apache-2.0 (repository)",
        quirks=(_RELU, *heads, _LOWER),
        scores=known_scores.clue(size),
    )


def _paddle(size: str) -> KnownModel:
    name = f"albert-chinese-{size}"
    config = SIZES[name]
    small = size in ("tiny", "small")
    quirks = [
        f"the weights of brightmart-{size}-google" if small else f"as google-albert-{size}-zh",
        "Paddle's config says gelu, the erf form there; the weights were trained with tanh"
        if small
        else _RELU,
        _IDS,
        "Paddle says no lower-casing; " + _LOWER,
        "Paddle's masked-LM norm has epsilon 1e-5: kept, so transformers cannot express it",
        "Paddle keeps the config in its code; it is written beside the weights when downloaded",
    ]
    quirks[2:2] = {"xlarge": [_XLARGE], "xxlarge": [_XXLARGE]}.get(size, [])
    return KnownModel(
        name=name,
        language="Chinese",
        family="paddlenlp",
        layout="google",
        source=Files(
            {
                "model_state.pdparams": f"{_PADDLE}/{name}.pdparams",
                "vocab.txt": f"{_PADDLE}/{name}.vocab.txt",
            },
            config=_paddle_config(config, "gelu" if small else "relu"),
        ),
        config=config,
        heads=None,
        licence=_LICENCE_PADDLE,
        quirks=tuple(quirks),
    )


def _paddle_config(config: AlbertConfig, act: str) -> dict[str, Any]:
    """What PaddleNLP's program code says about one of its Chinese models, its errors too."""
    return {
        "model_type": "albert",
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        "bos_token_id": 2,
        "embedding_size": config.embedding_size,
        "eos_token_id": 3,
        "hidden_act": act,
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "hidden_size": config.hidden_size,
        "initializer_range": config.initializer_range,
        "inner_group_num": config.inner_group_num,
        "intermediate_size": config.intermediate_size,
        "layer_norm_eps": config.layer_norm_eps,
        "max_position_embeddings": config.max_position_embeddings,
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_groups": config.num_hidden_groups,
        "num_hidden_layers": config.num_hidden_layers,
        "pad_token_id": 0,
        "paddlenlp_version": None,
        "type_vocab_size": config.type_vocab_size,
        "vocab_size": config.vocab_size,
    }


def _brightmart(
    name: str,
    file: str,
    size: str,
    aliases: tuple[str, ...] = (),
    scores: tuple[Score, ...] = (),
    *quirks: str,
) -> KnownModel:
    return KnownModel(
        name=f"brightmart-{name}",
        aliases=(*aliases, f"{file}.zip"),
        language="Chinese",
        family="brightmart_tf",
        layout="brightmart",
        source=Files({f"{file}.zip": f"{_BRIGHTMART}/{file}.zip"}),
        config=SIZES[f"brightmart-{size}"],
        heads=ALL_HEADS,
        quirks=(_OWN, *quirks, _INNER, _LOWER),
        scores=scores,
    )


def _brightmart_google(size: str, scores: tuple[Score, ...], *quirks: str) -> KnownModel:
    file = f"albert_{size}_zh_google"
    return KnownModel(
        name=f"brightmart-{size}-google",
        aliases=(file, f"albert_{size}_google_zh", f"{size}_google", f"{file}.zip"),
        language="Chinese",
        family="google_tf",
        layout="google",
        source=Files({f"{file}.zip": f"{_BRIGHTMART}/{file}.zip"}),
        config=SIZES[f"albert-chinese-{size}"],
        heads=ALL_HEADS,
        quirks=(*quirks, _LOWER),
        scores=scores,
    )


def _unpublished(
    name: str, family: str, layout: str, config: AlbertConfig, reason: str, *quirks: str
) -> KnownModel:
    return KnownModel(
        name=name,
        language="Chinese",
        family=family,
        layout=layout,
        source=Nowhere(reason),
        config=config,
        heads=None,
        quirks=quirks,
    )


def _uer(size: str) -> KnownModel:
    name = f"uer/albert-{size}-chinese-cluecorpussmall"
    return KnownModel(
        name=name,
        aliases=(name.removeprefix("uer/"),),
        language="Chinese",
        family="huggingface",
        layout="google",
        source=Hub(name),
        config=SIZES[f"albert-chinese-{size}"],
        # 42.7 MB on the hub are the bytes of base with all heads; large was not looked at.
        heads=ALL_HEADS if size == "base" else None,
        quirks=(
            "relu",
            "trained by UER-py, whose LayerNorm divides by the deviation of n - 1; converted "
            "without that factor, and the results on the hub are the accepted ones",
            _VOCABULARY,
            _LOWER,
        ),
    )


def _hub(owner: str, size: str) -> KnownModel:
    name = f"{owner}/albert_chinese_{size}"
    small = size in ("tiny", "small")
    same = f"brightmart-{size}-google" if small else f"google-albert-{size}-zh"
    act = "a config that says gelu is the erf form on the hub; the original was trained with tanh"
    quirks = [f"described as one family with {same}; not checked"]
    quirks += [act if small else _RELU, _IDS, _VOCABULARY, _LOWER]
    quirks[2:2] = {"xlarge": [_XLARGE], "xxlarge": [_XXLARGE]}.get(size, [])
    return KnownModel(
        name=name,
        language="Chinese",
        family="huggingface",
        layout="google",
        source=Hub(name),
        config=SIZES[f"albert-chinese-{size}"],
        heads=None,
        quirks=tuple(quirks),
    )


_TINY_SCORES = known_scores.brightmart("tiny") + known_scores.clue("tiny")
_XLARGE_ORDER = (
    "norm before or after a block: post in albert_zh's config, pre in copies of it; read from the "
    ".meta graph, else give --set norm_order=pre or let --detect TEXT decide"
)
_FAST = "albert_zh ships its config, no weights were listed"
_GROUPS = "feed-forward of 16 independent slices; 12 groups of parameters"

MODELS = (
    *(_google(size) for size in _SIZES),
    *(_paddle(size) for size in ("tiny", "small", *_SIZES)),
    _brightmart("tiny", "albert_tiny", "tiny", ("albert_tiny", "albert_tiny_zh"), _TINY_SCORES),
    _brightmart(
        "tiny-489k",
        "albert_tiny_489k",
        "tiny",
        ("albert_tiny_489k", "tiny_489k"),
        (),
        "trained longer than brightmart-tiny, on 2 thousand million samples",
    ),
    _brightmart("base", "albert_base_zh", "base", (), known_scores.brightmart("base")),
    _brightmart(
        "base-36k",
        "albert_base_zh_additional_36k_steps",
        "base",
        ("albert_base_zh_additional_36k_steps", "base_additional_36k"),
        known_scores.brightmart("base-36k"),
        "brightmart-base with 36,000 more steps",
    ),
    _brightmart("large", "albert_large_zh", "large", (), known_scores.brightmart("large")),
    *(
        _brightmart(
            f"xlarge-{steps}",
            f"albert_xlarge_zh_{steps}",
            "xlarge",
            (f"albert_xlarge_zh_{steps}",),
            known_scores.brightmart("xlarge"),
            _XLARGE_ORDER,
        )
        for steps in ("177k", "183k")
    ),
    _unpublished(
        "brightmart-xxlarge",
        "brightmart_tf",
        "brightmart",
        SIZES["brightmart-xxlarge"],
        "albert_zh announced it and ships its config, but never listed the weights",
        _OWN,
        "norm before each block (pre)",
    ),
    _brightmart_google("tiny", ()),
    _brightmart_google("small", known_scores.brightmart("small"), _SLOTS),
    _unpublished(
        "brightmart-base-google-fast",
        "google_tf",
        "google_fast",
        replace(
            SIZES["albert-chinese-base"],
            hidden_act="gelu_tanh",
            num_hidden_groups=12,
            ffn_groups=16,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
        ),
        _FAST,
        _GROUPS,
    ),
    _unpublished(
        "brightmart-tiny-google-fast",
        "google_tf",
        "google_fast",
        replace(
            SIZES["albert-chinese-tiny"],
            hidden_size=336,
            intermediate_size=1344,
            num_hidden_groups=12,
            ffn_groups=16,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
        ),
        _FAST,
        _GROUPS + " for 4 layers, so only groups 0, 3, 6 and 9 exist",
    ),
    *(_uer(size) for size in ("base", "large")),
    *(
        _unpublished(
            f"uer-{size}",
            "uer",
            "google",
            replace(
                SIZES["uer-large"],
                **{
                    key: getattr(SIZES[f"albert-chinese-{size}"], key)
                    for key in (
                        "hidden_size",
                        "num_hidden_layers",
                        "num_attention_heads",
                        "intermediate_size",
                    )
                },
            ),
            "UER-py ships its config, no weights were published",
            "three segment rows (row 0 is padding's) and UER's own LayerNorm",
        )
        for size in ("xlarge", "xxlarge")
    ),
    *(_hub("voidful", size) for size in ("tiny", "small", *_SIZES)),
    *(_hub("clue", size) for size in ("tiny", "small")),
)
