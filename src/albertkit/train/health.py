"""Is this run learning? Numbers that are not finite, a loss that knows word frequencies only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from albertkit.errors import TrainingError

DOES_NOT_LEARN = 3  # exit code of a run that ended without learning
# Nats below the unigram entropy from where on we say that a model uses the context.
CLEARLY_BELOW = 0.05
# Nats by which a run that goes on may end above where it began: noise of a few steps.
_ABOUT_THE_SAME = 0.02
# Share of the way from ln(vocabulary) to the unigram entropy below which a loss "has not moved".
_HARDLY_MOVED = 0.5


@dataclass(frozen=True)
class Verdict:
    """Whether a run learns, in a word and a sentence; `cause` and `fix` are empty when it does.

    kind: "learns", or what is wrong: "frequencies only", "does not move", "diverges", "gets worse"
    when pretraining; those of finetune_health.py when fine-tuning.
    """

    kind: str
    sentence: str
    cause: str = ""
    fix: str = ""

    @property
    def learns(self) -> bool:
        """True when the held-out figures are better than those of who reads nothing."""
        return self.kind == "learns"

    def __str__(self) -> str:
        lines = [self.sentence]
        lines += [f"  likely cause: {self.cause}"] if self.cause else []
        lines += [f"  to do: {self.fix}"] if self.fix else []
        return "\n".join(lines)


def judge(
    mlm_loss: float,
    unigram_entropy: float,
    vocab_size: int,
    *,
    before: float | None = None,
    num_layers: int = 12,
) -> Verdict:
    """Compare a held-out masked-LM loss with what word frequencies alone would give (nats).

    before: the loss before step 0, of a run that goes on from a model. num_layers: how often the
    shared block is used, for the advice.
    """
    start = math.log(vocab_size)
    facts = f"held-out masked-LM loss {mlm_loss:.3f}, unigram entropy {unigram_entropy:.3f}"
    if before is not None:
        facts += f", before the run {before:.3f}"
        if mlm_loss > before + _ABOUT_THE_SAME:
            return Verdict(
                "gets worse",
                f"The model is worse than before the run: {facts}.",
                "the learning rate is too high for a trained model, or the warm-up too short, or "
                "the run ended before it came back",
                "divide stages.*.peak_learning_rate by 3 and double warmup_steps, or train longer",
            )
    if mlm_loss < unigram_entropy - CLEARLY_BELOW:
        if before is not None and mlm_loss > before - _ABOUT_THE_SAME:
            return Verdict("learns", f"The model is about as good as before the run: {facts}.")
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
        "train longer; if the loss has been flat for long, divide peak_learning_rate by 3 and "
        f"double warmup_steps{'' if before is not None else depth_advice(num_layers)}",
    )


def depth_advice(num_layers: int) -> str:
    """What leaves the plateau of word frequencies in a model whose layers share their weights.

    Measured on 178 MB of English: 6 layers of width 384 stayed there with rate
    8e-4 and batches of 32 rows, and left it with 3e-4 and 16; 4 layers of width 312 did not leave
    it with initializer_range 0.06.
    """
    return (
        f", and start again with a smaller initializer_range. The {num_layers} layers share their "
        "weights, whose gradients add up: the deeper the model, the smaller rate and "
        "initializer_range must be (6 layers: 3e-4, and 0.02 to 0.04). Batches of 16 to 32 rows "
        "need far fewer tokens than large ones"
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
