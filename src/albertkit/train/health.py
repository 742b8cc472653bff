"""Is this run learning? Numbers that are not finite, a loss that knows word frequencies only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from albertkit.errors import TrainingError

# Nats below the unigram entropy from where on we say that a model uses the context.
_CLEARLY_BELOW = 0.05
# Share of the way from ln(vocabulary) to the unigram entropy below which a loss "has not moved".
_HARDLY_MOVED = 0.5


@dataclass(frozen=True)
class Verdict:
    """Whether a run learns, in a word and a sentence; `cause` and `fix` are empty when it does."""

    kind: Literal["learns", "frequencies only", "does not move", "diverges"]
    sentence: str
    cause: str = ""
    fix: str = ""

    @property
    def learns(self) -> bool:
        """True when the loss is clearly below the unigram entropy."""
        return self.kind == "learns"

    def __str__(self) -> str:
        lines = [self.sentence]
        lines += [f"  likely cause: {self.cause}"] if self.cause else []
        lines += [f"  to do: {self.fix}"] if self.fix else []
        return "\n".join(lines)


def judge(mlm_loss: float, unigram_entropy: float, vocab_size: int) -> Verdict:
    """Compare a held-out masked-LM loss with what word frequencies alone would give (nats)."""
    start = math.log(vocab_size)
    facts = f"held-out masked-LM loss {mlm_loss:.3f}, unigram entropy {unigram_entropy:.3f}"
    if mlm_loss < unigram_entropy - _CLEARLY_BELOW:
        return Verdict("learns", f"The model learns: {facts}.")
    if mlm_loss > start + 0.5:
        return Verdict(
            "diverges",
            f"The model does not learn: {facts}; guessing blindly gives {start:.3f}.",
            "the weights moved too far: the learning rate is too high or the warm-up too short",
            "divide stages.*.peak_learning_rate by 3, or double warmup_steps",
        )
    if mlm_loss > start - _HARDLY_MOVED * (start - unigram_entropy):
        return Verdict(
            "does not move",
            f"The model does not learn: {facts}; guessing blindly gives {start:.3f}.",
            "the weights have hardly moved: the learning rate is too low, or the warm-up too long",
            "raise stages.*.peak_learning_rate, or shorten warmup_steps, or train longer",
        )
    return Verdict(
        "frequencies only",
        f"The model does not learn from context: {facts}. It knows word frequencies only.",
        "too few steps so far, or a learning rate too high to leave this plateau",
        "train longer; if the loss has been flat for long, divide peak_learning_rate by 3 "
        "and double warmup_steps",
    )


def refuse_what_is_not_finite(step: int, means: Mapping[str, float], gradient_norm: float) -> None:
    """Raise a TrainingError for a loss or gradient that is NaN or infinite, before it is used."""
    wrong = [f"{name} = {value}" for name, value in means.items() if not math.isfinite(value)]
    if not math.isfinite(gradient_norm):
        wrong.append(f"gradient norm = {gradient_norm}")
    if not wrong:
        return
    raise TrainingError(
        f"A number is not finite at step {step}; the weights were left as they were.",
        expected="finite losses and gradients",
        found=", ".join(wrong),
        fix="divide peak_learning_rate by 3 (with batch size b, try the paper's rate times "
        "sqrt(b / 4096)), double warmup_steps; with precision bf16, try fp32",
    )
