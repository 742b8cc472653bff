"""ALBERT as UER-py computes it, from the tensors of a file by UER's own names.

Written from the inventory of UER's layers, for the interop check alone: it shares no code with
albertkit. float64, so that what differs is the other side's rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

ACTS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_fast": lambda x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "silu": lambda x: x * torch.sigmoid(x),
    "linear": lambda x: x,
}


@dataclass
class Uer:
    """A model: its tensors by name, and what UER's config and options say."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, object]
    pre: bool

    def __post_init__(self) -> None:
        self.used: set[str] = set()
        self.act = ACTS[str(self.config["hidden_act"])]

    def get(self, name: str) -> Tensor:
        """A tensor; remembers that it was used."""
        self.used.add(name)
        return self.tensors[name].double()

    def linear(self, name: str, x: Tensor) -> Tensor:
        """x times the transposed weight, plus the bias."""
        return x @ self.get(f"{name}.weight").T + self.get(f"{name}.bias")

    def norm(self, name: str, x: Tensor) -> Tensor:
        """UER's normalisation: deviation of n - 1, epsilon added to it."""
        centred = x - x.mean(-1, keepdim=True)
        deviation = (centred.square().sum(-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
        scaled = centred / (deviation + 1e-6)
        return self.get(f"{name}.gamma") * scaled + self.get(f"{name}.beta")

    def attend(self, x: Tensor, seg: Tensor) -> Tensor:
        """Self-attention; segment 0 is padding."""
        rows, columns, width = x.shape
        heads = int(str(self.config["heads_num"]))
        name = "encoder.transformer.self_attn"
        query, key, value = (
            self.linear(f"{name}.linear_layers.{n}", x)
            .view(rows, columns, heads, width // heads)
            .transpose(1, 2)
            for n in range(3)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // heads)
        scores = scores + (1 - (seg > 0).double())[:, None, None] * -10000.0
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(rows, columns, width)
        return self.linear(f"{name}.final_linear", mixed)

    def feed(self, x: Tensor) -> Tensor:
        """The two maps of the feed-forward block."""
        name = "encoder.transformer.feed_forward"
        return self.linear(f"{name}.linear_2", self.act(self.linear(f"{name}.linear_1", x)))

    def layer(self, x: Tensor, seg: Tensor) -> Tensor:
        """One layer; all use the same tensors."""
        first, second = (f"encoder.transformer.layer_norm_{n}" for n in (1, 2))
        if self.pre:
            x = x + self.attend(self.norm(first, x), seg)
            return x + self.feed(self.norm(second, x))
        x = self.norm(first, x + self.attend(x, seg))
        return self.norm(second, x + self.feed(x))

    def run(self, src: Tensor, seg: Tensor) -> dict[str, Tensor]:
        """Hidden states, and what the heads in the file give."""
        names = ("word", "pos", "seg")
        word, pos, kind = (self.get(f"embedding.{name}.embedding.weight") for name in names)
        x = word[src] + pos[: src.shape[1]] + kind[seg]
        x = self.linear("encoder.linear", self.norm("embedding.layer_norm", x))
        states = [x]
        for _ in range(int(str(self.config["layers_num"]))):
            states.append(x := self.layer(x, seg))
        if self.pre:
            states[1:] = [self.norm("encoder.layer_norm", state) for state in states[1:]]
        found = {f"hidden_{n:02d}": state for n, state in enumerate(states)}
        last = states[-1]
        if "target.mlm.linear_1.weight" in self.tensors:
            inner = self.act(self.linear("target.mlm.linear_1", last))
            inner = self.norm("target.mlm.layer_norm", inner)
            found["mlm_logits"] = self.linear("target.mlm.linear_2", inner)
        if "target.sp.linear_1.weight" in self.tensors:
            found["pooled"] = torch.tanh(self.linear("target.sp.linear_1", last[:, 0]))
            found["sop_logits"] = self.linear("target.sp.linear_2", found["pooled"])
        return found

    def classify(self, last: Tensor, seg: Tensor, pooling: str) -> tuple[Tensor, Tensor]:
        """The classifier of UER's fine-tuning script: pooled vector of the first token, logits."""
        weight = seg[..., None].double()
        bank = last * weight
        pooled = {
            "first": lambda: last[:, 0],
            "uer_mean": lambda: bank.sum(1) / weight.sum(1),
            "uer_max": lambda: (bank + (weight - 1) * sys.maxsize).max(1)[0],
            "uer_last": lambda: bank[torch.arange(len(bank)), (seg > 0).sum(1) - 1],
        }[pooling]()
        first = torch.tanh(self.linear("output_layer_1", last[:, 0]))
        inner = torch.tanh(self.linear("output_layer_1", pooled))
        return first, self.linear("output_layer_2", inner)

    def answers(
        self, src: Tensor, seg: Tensor, head: str | None, pooling: str
    ) -> dict[str, Tensor]:
        """All outputs, with those of a fine-tuned head."""
        found = self.run(src, seg)
        last = found[max(name for name in found if name.startswith("hidden_"))]
        if "output_layer_1.weight" in self.tensors:
            found["pooled"], found["logits"] = self.classify(last, seg, pooling)
        elif "output_layer.weight" in self.tensors:
            logits = self.linear("output_layer", last)
            names = ("start_logits", "end_logits")
            split = dict(zip(names, logits.unbind(-1), strict=True)) if head == "span" else {}
            found |= split or {"logits": logits}
        return found
