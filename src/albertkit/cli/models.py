"""Commands about models by name: download, models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albertkit.cli.options import Flag, Json
from albertkit.cli.output import Output, print_json
from albertkit.progress import Bar, format_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from albertkit.hub import KnownModel

NOT_KNOWN = "not known"
_SHORT = {"masked LM": "MLM", "sentence order": "SOP"}  # every file has a pooler
_LAYOUTS = {
    "google": "google's layout",
    "brightmart": "albert_zh's own layout",
    "google_fast": "google_fast layout",
}


def download(name: str, /, *, offline: Flag = False, to: Path | None = None) -> None:
    """Download a model by its name and print its folder.

    Parameters
    ----------
    name
        A name that `albertkit models` lists, or owner/name or owner/name@revision of the hub.
    offline
        Look in the cache only, never ask the network.
    to
        Copy it into this folder, which must be free, and print that.
    """
    from albertkit import hub

    with Bar(f"looking for {name}", format=format_bytes) as bar:
        folder = hub.download(name, to, offline=offline or None, progress=bar.report)
    print(folder, flush=True)


def models(name: str | None = None, /, *, json: Json = False) -> None:
    """List every released ALBERT that is known by a name, or show all about one.

    Parameters
    ----------
    name
        One of the listed names.
    json
        One JSON object, with name; else one a line.
    """
    from albertkit import hub

    if name is not None:
        known = hub.named(name)
        print_json(as_json(known)) if json else _print_one(known)
    elif json:
        for known in hub.all_models().values():
            print_json(as_json(known))
    else:
        shipped = [f"albertkit/{name}" for name in hub.shipped_models()]
        _print_all(list(hub.all_models().values()), shipped)


def as_json(model: KnownModel) -> dict[str, Any]:
    """Everything known about a model as one JSON object."""
    from albertkit.cli.facts import parameters

    return {
        "name": model.name,
        "aliases": list(model.aliases),
        "language": model.language,
        "family": model.family,
        "layout": model.layout,
        "addresses": list(model.addresses),
        "config": model.config.to_json(),
        "heads_in_file": list(model.heads) if model.heads is not None else None,
        "parameters_in_file": model.parameters_in_file,
        "parameters": parameters(model.config),
        "licence": model.licence,
        "quirks": list(model.quirks),
        "scores": [{"task": s.task, "value": s.value, "source": s.source} for s in model.scores],
        "tried_live": model.tried_live,
    }


def _print_all(models: list[KnownModel], shipped: list[str]) -> None:
    """A table in groups of one language and layout, and what its words mean; 80 columns do."""
    from rich.table import Table
    from rich.text import Text

    console = _console()
    groups: dict[str, list[KnownModel]] = {}
    for model in models:
        title = f"{model.language}, {_LAYOUTS[model.layout]}, read as {model.family}"
        groups.setdefault(title, []).append(model)
    longest = max(len(model.name) for model in models)
    for title, members in groups.items():
        console.print(Text(title, style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("name", no_wrap=True, min_width=longest)
        table.add_column("parameters", justify="right", no_wrap=True, min_width=11)
        table.add_column("heads", no_wrap=True, min_width=7)
        table.add_column("licence", no_wrap=True)
        for model in members:
            short = model.licence.replace(" (repository)", "*")
            licence = short if model.addresses else "no weights"
            table.add_row(Text(model.name), f"{model.parameters:,}", _heads(model), licence)
        console.print(table)
        console.print()
    live = sum(model.tried_live for model in models)
    console.print(
        "parameters: body with pooler   MLM: masked LM   SOP: sentence order   ?: unknown\n"
        "* of the repository that lists the file; the file itself says nothing\n"
        f"{live or 'None'} of these {len(models)} names could be downloaded live: they are as "
        "published, untried.\n"
        f"Inside this package, without a download: {', '.join(shipped)}\n"
        "All about one: albertkit models NAME   Download: albertkit download NAME",
        style="dim",
    )


def _heads(model: KnownModel) -> str:
    if model.heads is None:
        return "?" if model.addresses else "-"
    return " ".join(_SHORT[head] for head in model.heads if head in _SHORT)


def _print_one(model: KnownModel) -> None:
    """All about one model, in paragraphs that wrap; addresses stay whole."""
    from rich.table import Table
    from rich.text import Text

    from albertkit.cli.facts import parameters

    console = _console()
    console.print(Text(model.name, style="bold"))
    for line in model.addresses or (f"no known address: {_reason(model)}",):
        console.print(Text(line), soft_wrap=True)
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for title, text in _facts(model, parameters(model.config)):
        facts.add_row(title, Text(text))
    console.print(facts)
    _print_list(console, "Know before use", [(quirk, "") for quirk in model.quirks])
    by_source: dict[str, list[str]] = {}
    for score in model.scores:
        by_source.setdefault(score.source, []).append(f"{score.task} {score.value}")
    _print_list(console, "Published scores", [("; ".join(x), s) for s, x in by_source.items()])


def _facts(model: KnownModel, counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    c = model.config
    if model.aliases:
        yield "also", ", ".join(model.aliases)
    yield "language", model.language
    yield "layout", f"{_LAYOUTS[model.layout]}, read as {model.family}"
    yield "licence", model.licence
    yield "state", "downloaded and run" if model.tried_live else "not tried live"
    yield (
        "config",
        f"{c.num_hidden_layers} layers of width {c.hidden_size}, {c.num_attention_heads} heads, "
        f"inner width {c.intermediate_size}, {c.hidden_act}, dropout {c.hidden_dropout_prob:g}\n"
        f"{c.vocab_size:,} pieces of width {c.embedding_size}, {c.max_position_embeddings} "
        "positions",
    )
    yield "heads", ", ".join(model.heads) if model.heads is not None else NOT_KNOWN
    if model.parameters_in_file is not None:
        size = format_bytes(model.parameters_in_file * 4)
        yield "in the file", f"{model.parameters_in_file:,} parameters, {size} as float32"
    width = max(len(f"{count:,}") for count in counts.values())
    rows = (f"{count:>{width},}  {part}" for part, count in counts.items())
    yield "parameters", "\n".join(rows)


def _reason(model: KnownModel) -> str:
    return str(getattr(model.source, "reason", ""))


def _print_list(console: Console, title: str, rows: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    console.print(Text(f"\n{title}", style="bold"))
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for text, below in rows:
        table.add_row("-", Text(text))
        if below:
            table.add_row("", Text(below, style="dim"))
    console.print(table)


def _console() -> Console:
    return Output(highlight=False)
