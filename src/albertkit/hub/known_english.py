"""The English models: google's eight, on the hub and as original archives."""

from __future__ import annotations

from albertkit.hub import known_scores
from albertkit.hub.known import ALL_HEADS, MASKED_LM, POOLER, Files, Hub, KnownModel
from albertkit.sizes import SIZES

_SIZES = ("base", "large", "xlarge", "xxlarge")
_BUCKET = "https://storage.googleapis.com/albert_models"
_LOWER_CASE = "text must be lower-cased: the vocabulary has no upper-case letter"
_HUB_V1 = (
    "the hub's config says gelu, which is the erf form there; the released graphs hold the tanh "
    "form; the folder is read as its config says"
)
_NO_SOP = "the sentence-order head was left out on the hub; the original archive has it"
_HUB_HEADS = "16 heads in the hub's config; the paper's rule H/64 and the TF-Hub/2 archive give 32"
_ARCHIVE_HEADS = (
    "16 or 32 heads: the shapes are the same; read from the .meta graph, else give "
    "--set num_attention_heads=32 or let --detect TEXT decide"
)
_XXLARGE_V1 = "v1 xxlarge was trained without dropout and with more data, unlike v1's smaller sizes"


def _hub(size: str, version: str) -> KnownModel:
    name = f"albert-{size}-{version}"
    quirks = [_LOWER_CASE, _NO_SOP]
    quirks += [_HUB_V1] if version == "v1" else []
    quirks += [_HUB_HEADS] if size == "xlarge" else []
    return KnownModel(
        name=name,
        aliases=(f"albert/{name}",),
        language="English",
        family="huggingface",
        layout="google",
        source=Hub(f"albert/{name}"),
        config=SIZES[name],
        heads=(POOLER, MASKED_LM),
        licence="Apache-2.0",
        quirks=tuple(quirks) + ((_XXLARGE_V1,) if name == "albert-xxlarge-v1" else ()),
        scores=known_scores.english(f"{size}-{version}"),
    )


def _archive(size: str, version: str) -> KnownModel:
    file = f"albert_{size}_{version}"
    quirks = [_LOWER_CASE]
    quirks += [_ARCHIVE_HEADS] if size == "xlarge" else []
    quirks += [_XXLARGE_V1] if (size, version) == ("xxlarge", "v1") else []
    return KnownModel(
        name=f"google-albert-{size}-{version}",
        aliases=(file, f"{file}.tar.gz"),
        language="English",
        family="google_tf",
        layout="google",
        source=Files({f"{file}.tar.gz": f"{_BUCKET}/{file}.tar.gz"}),
        config=SIZES[f"albert-{size}-{version}"],
        heads=ALL_HEADS,
        licence="Apache-2.0 (repository)",
        quirks=tuple(quirks),
        scores=known_scores.english(f"{size}-{version}"),
    )


MODELS = (
    *(_hub(size, version) for version in ("v1", "v2") for size in _SIZES),
    *(_archive(size, version) for version in ("v1", "v2") for size in _SIZES),
)
