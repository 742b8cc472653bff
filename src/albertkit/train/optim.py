"""LAMB and AdamW as google-research/albert defines them, the learning-rate schedule, clipping.

Source: google-research/albert `lamb_optimizer.py`, `optimization.py`; brightmart/albert_zh
`optimization.py`. Neither corrects the bias of the moments, and the weight decay is part of the
update (before LAMB's trust ratio).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from albertkit.settings import setting

SLOTS = ("mean", "mean_square")


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """What the optimizer does with a gradient; the defaults are those of the paper."""

    name: Literal["lamb", "adamw"] = setting(
        "lamb", "lamb for large batches (1,000 rows and more), adamw for small ones"
    )
    beta_1: float = setting(0.9, "decay of the mean of gradients", low=0, below=1)
    beta_2: float = setting(0.999, "decay of the mean of squared gradients", low=0, below=1)
    epsilon: float = setting(1e-6, "added to the root of the second moment", above=0)
    weight_decay: float = setting(0.01, "share of the weight added to its update", low=0)
    max_gradient_norm: float = setting(1.0, "global norm to clip to; 0 never clips", low=0)
    no_weight_decay: list[str] = setting(
        ["norm", "bias"], "patterns (searched in parameter names) of what does not decay"
    )
    no_trust_ratio: list[str] = setting(
        ["norm", "bias"], "lamb: patterns without trust ratio; [] is brightmart/albert_zh's LAMB"
    )


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """Linear warm-up to a peak, polynomial decay to zero at the last step."""

    steps: int = setting(125_000, "optimizer steps", low=1)
    peak_learning_rate: float = setting(0.00176, "learning rate that the decay starts from", low=0)
    warmup_steps: int = setting(3125, "steps of linear warm-up", low=0)
    decay_power: float = setting(1.0, "power of the polynomial decay; 1 is linear", above=0)
    start_warmup_step: int = setting(0, "first step of the warm-up; before it the rate is 0", low=0)


def learning_rate(step: int, settings: ScheduleSettings) -> float:
    """Learning rate of a step, the first being 0 (google `optimization.create_optimizer`).

    The decay counts from step 0, so that the rate drops a little when the warm-up ends. Before
    `start_warmup_step` the rate is 0, where google's formula becomes negative; see
    docs/differences.md.
    """
    since = step - settings.start_warmup_step
    if since < settings.warmup_steps:
        return settings.peak_learning_rate * max(since, 0) / settings.warmup_steps
    left = 1 - min(step, settings.steps) / settings.steps
    return settings.peak_learning_rate * left**settings.decay_power


def clip_by_global_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> float:
    """Scale all gradients so that their joint norm is at most `max_norm`; returns it as it was.

    The formula is tf.clip_by_global_norm's: torch adds 1e-6 to the norm. 0 only measures. A norm
    that is not finite leaves the gradients as they are, for the caller to refuse.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    norm = float(torch.linalg.vector_norm(norms))
    if 0 < max_norm < norm < float("inf"):
        torch._foreach_mul_(gradients, max_norm / norm)
    return norm


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float, step: int = 0) -> None:
    """Give every parameter group this rate times its `rate_scale`, and the updates done before."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_scale", 1.0)
        group["step"] = step


class Adam(torch.optim.Optimizer):
    """The update of both optimizers: m / (sqrt(v) + eps) + decay * weight, in place.

    With `layerwise` (LAMB; You et al. 2019) the update of each tensor is also scaled by
    norm(weight) / norm(update), or by 1 when either is 0. With `bias_correction` m and v are
    divided by 1 - beta ** updates, as in torch's AdamW. rate_scale: of each parameter's rate, by
    its name.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        settings: OptimSettings,
        *,
        bias_correction: bool = False,
        rate_scale: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        groups = _groups(named_parameters, settings, rate_scale)
        super().__init__(groups, {"lr": 0.0, "step": 0})
        self.settings = settings
        self.bias_correction = bias_correction
        self.layerwise = settings.name == "lamb"
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {slot: torch.zeros_like(parameter) for slot in SLOTS}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the gradients."""
        at_once = self.bias_correction and not self.layerwise
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not at_once:
                self._step_one_by_one(group, moved)
            elif moved:
                self._step_at_once(group, moved)

    def _step_one_by_one(self, group: dict[str, Any], moved: list[nn.Parameter]) -> None:
        beta_1, beta_2 = self.settings.beta_1, self.settings.beta_2
        updates, correct = group["step"] + 1, self.bias_correction
        for parameter in moved:
            gradient = parameter.grad
            assert gradient is not None  # these have one
            first, second = (self.state[parameter][slot] for slot in SLOTS)
            first.lerp_(gradient, 1 - beta_1)
            second.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
            root = second.sqrt() if not correct else (second / (1 - beta_2**updates)).sqrt_()
            update = first / root.add_(self.settings.epsilon)
            if correct:
                update.div_(1 - beta_1**updates)
            if group["weight_decay"]:
                update.add_(parameter, alpha=group["weight_decay"])
            if self.layerwise and group["trust_ratio"]:
                update.mul_(_trust_ratio(parameter, update))
            parameter.sub_(update, alpha=group["lr"])

    def _step_at_once(self, group: dict[str, Any], moved: list[nn.Parameter]) -> None:
        """torch's own AdamW: its fused kernel reads and writes each number once."""
        first, second = ([self.state[p][slot] for p in moved] for slot in SLOTS)
        counts = torch.full((len(moved),), float(group["step"]), device=moved[0].device)
        adamw(
            list[Tensor](moved),
            [parameter.grad for parameter in moved if parameter.grad is not None],
            first,
            second,
            max_exp_avg_sqs=[],
            state_steps=list(counts.unbind()),  # it adds 1
            fused=True,
            amsgrad=False,
            beta1=self.settings.beta_1,
            beta2=self.settings.beta_2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=self.settings.epsilon,
            maximize=False,
        )


def slots_of(
    optimizer: torch.optim.Optimizer, named_parameters: Iterable[tuple[str, nn.Parameter]]
) -> dict[str, Tensor]:
    """Moments by name: `mean.<parameter>` and `mean_square.<parameter>`; not copied."""
    return {
        f"{slot}.{name}": optimizer.state[parameter][slot]
        for name, parameter in named_parameters
        for slot in SLOTS
        if parameter in optimizer.state
    }


def _trust_ratio(parameter: Tensor, update: Tensor) -> Tensor:
    weight_norm, update_norm = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(update)
    ratio = weight_norm / update_norm
    return torch.where((weight_norm > 0) & (update_norm > 0), ratio, torch.ones_like(ratio))


def _groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    settings: OptimSettings,
    rate_scale: Callable[[str], float],
) -> list[dict[str, Any]]:
    """Parameters by (does it decay, has it a trust ratio, its scale); none is empty."""
    groups: dict[tuple[bool, bool, float], list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        decays = not any(re.search(pattern, name) for pattern in settings.no_weight_decay)
        adapts = not any(re.search(pattern, name) for pattern in settings.no_trust_ratio)
        if parameter.requires_grad:
            groups.setdefault((decays, adapts, rate_scale(name)), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decays else 0.0,
            "trust_ratio": adapts,
            "rate_scale": scale,
        }
        for (decays, adapts, scale), parameters in groups.items()
    ]
