"""The engine that is the torch model itself."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from albertkit.checkpoint.checkpoint import Checkpoint
from albertkit.data.batch import Batch, Ints
from albertkit.data.padded import Padded
from albertkit.errors import PredictionError
from albertkit.infer.engine import Floats
from albertkit.model.early_exit import LayerByLayer
from albertkit.model.loading import build, build_body, build_task
from albertkit.model.outputs import AlbertOutput, TaskOutput
from albertkit.model.packed_linear import pack
from albertkit.model.task_heads import beam_rows
from albertkit.tasks.early_exit import agreement, leave_early


class TorchEngine:
    """A checkpoint as a torch module in evaluation mode.

    device: cpu, cuda, cuda:1, mps, or auto (cuda when it is there). dtype: of weights and vectors.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device = choose_device(device)
        self.config, self.head = checkpoint.config, checkpoint.head
        model = build(checkpoint) if checkpoint.has_masked_lm else None
        self._pretrained = None if model is None else model.to(self.device, dtype)
        self._body = (
            build_body(checkpoint).to(self.device, dtype) if model is None else model.albert
        )
        pack(self._body)
        task = build_task(checkpoint, self._body) if checkpoint.head is not None else None
        self._task = None if task is None else task.to(self.device, dtype)
        self.num_exits = 0 if task is None or task.exits is None else len(task.exits)
        self._exits = checkpoint.exits
        outputs = {
            "hidden": True,
            "all_layers": True,
            "pooled": checkpoint.has_pooler,
            "masked_lm": model is not None,
            "sentence_order": model is not None and checkpoint.has_sentence_order,
            "task": task is not None,
            "unanswerable": self.head is not None and self.head.kind == "beam_span",
        }
        self.outputs = frozenset(name for name, there in outputs.items() if there)

    def run(
        self, batch: Batch, want: Collection[str], positions: Ints | None = None
    ) -> dict[str, Floats]:
        """See `Engine.run`."""
        with torch.inference_mode():
            needed = self._needed(want, positions)
            encoder, task = self._encode(batch, want, needed)
            found: dict[str, Tensor] = {}
            if "hidden" in want:
                found["hidden"] = encoder.hidden
            if "all_layers" in want:
                found["all_layers"] = torch.stack(list(encoder.hidden_states))
            if "pooled" in want and encoder.pooled is not None:
                found["pooled"] = encoder.pooled
            if "masked_lm" in want and self._pretrained is not None:
                targets = encoder.hidden  # (S, H), or (M, H)
                if needed is None:
                    targets = targets.index_select(0, self._indices(positions))
                found["masked_lm"] = self._pretrained.masked_lm(targets, self._body.embeddings)
            if "sentence_order" in want and self._pretrained is not None:
                assert self._pretrained.sentence_order is not None  # it is among the outputs
                found["sentence_order"] = self._pretrained.sentence_order(encoder.pooled)
            if task is not None:
                found |= _task_outputs(task)
            return {name: x.float().cpu().numpy() for name, x in found.items()}

    def run_with_patience(self, batch: Batch, patience: int) -> tuple[Floats, Ints]:
        """See `ExitsEarly`."""
        assert self._task is not None  # asked only of a model with exits
        ids, segment_ids = (
            torch.from_numpy(x).to(self.device) for x in (batch.ids, batch.segment_ids)
        )
        with torch.inference_mode():
            layers = LayerByLayer(
                self._task, ids, segment_ids, lengths=torch.from_numpy(batch.lengths)
            )
            return leave_early(
                lambda: layers.step().float().cpu().numpy(),
                lambda rows: layers.keep(torch.from_numpy(rows)),
                num_rows=len(batch),
                num_layers=layers.num_layers,
                patience=patience,
                agree=agreement(self._task.head, self._exits),
            )

    def span_scores(self, batch: Batch) -> dict[str, Floats]:
        """What the head for `beam_span` gives before its search, at the tokens (S,).

        starts: log-probabilities; ends: the same given that the answer starts at the first token;
        unanswerable (B,): the logit.
        """
        assert self._task is not None  # asked only of such a head
        ids, segment_ids = (
            torch.from_numpy(x).to(self.device) for x in (batch.ids, batch.segment_ids)
        )
        lengths = torch.from_numpy(batch.lengths)
        first = torch.zeros(len(batch), dtype=torch.int64, device=self.device)
        with torch.inference_mode():
            beam = self._task(ids, segment_ids, lengths=lengths, start_places=first).beam
        real = torch.arange(int(lengths.max())) < lengths[:, None]
        found = {
            "starts": beam.starts.cpu()[real],
            "ends": beam.ends.cpu()[real],
            "unanswerable": beam.unanswerable.cpu(),
        }
        return {name: x.float().numpy() for name, x in found.items()}

    def _indices(self, positions: Ints | None) -> Tensor:
        given = () if positions is None else positions
        return torch.from_numpy(np.asarray(given, dtype=np.int64)).to(self.device)

    def _needed(self, want: Collection[str], positions: Ints | None) -> Tensor | None:
        """The tokens that the last layer is computed for; None: all of them."""
        every = {"hidden", "all_layers"}
        if self.head is not None and self.head.traits.reads == "tokens":
            every |= {"task", "unanswerable"}
        return None if every & set(want) else self._indices(positions)

    def _encode(
        self, batch: Batch, want: Collection[str], needed: Tensor | None
    ) -> tuple[AlbertOutput, TaskOutput | None]:
        """The body's output, and the head's if it is wanted."""
        ids, segment_ids = (
            torch.from_numpy(x).to(self.device) for x in (batch.ids, batch.segment_ids)
        )
        lengths = torch.from_numpy(batch.lengths)
        every = "all_layers" in want
        if self._task is None or not {"task", "unanswerable"} & set(want):
            return self._body(
                ids, segment_ids, lengths=lengths, positions=needed, return_all=every
            ), None
        kind = self._task.head.kind
        allowed = None
        if kind == "beam_span":
            allowed = torch.from_numpy(Padded.of(batch).answer_places).to(self.device)
        output: TaskOutput = self._task(
            ids,
            segment_ids,
            lengths=lengths[:, None] if kind == "multiple_choice" else lengths,
            allowed=allowed,
            positions=needed,
            return_all=every,
        )
        return output.encoder, output


def _task_outputs(task: TaskOutput) -> dict[str, Tensor]:
    if task.beam is not None:
        return {"task": beam_rows(task.beam), "unanswerable": task.beam.unanswerable}
    if task.start is not None and task.end is not None:
        return {"task": torch.stack([task.start, task.end], -1)}
    assert task.logits is not None  # every other head has them
    return {"task": task.logits}


def choose_device(name: str) -> torch.device:
    """Device by name: cpu, cuda, cuda:1, mps; auto takes cuda when it is there.

    Raises:
        PredictionError: unknown, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise PredictionError(
            "This device cannot be used.",
            expected="cpu, cuda, cuda:0, mps or auto, and the hardware and driver it needs",
            found=f"{name}: {str(error).splitlines()[0]}",
            fix="use device='cpu'",
            command_fix="leave --device out to compute on the CPU",
        ) from error
    return device
