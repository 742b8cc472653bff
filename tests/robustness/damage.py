"""Ways to damage a file, and a child process that opens the damaged ones within limits."""

from __future__ import annotations

import multiprocessing
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from albertkit.errors import AlbertkitError

CUTS = 200
FLIPS = 150
SECONDS = 2.0
MORE_MEMORY = 64 << 20
HUGE = [2**63 - 1, 2**64 - 1, 2**31 - 1, 2**32 - 1, 2**40]


def damaged(data: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """Damaged copies of a file with the name of what was done; the same ones for the same seed.

    Cut at every 1/200; one bit flipped (half of them within the first and last kilobyte, where
    headers are); sizes swapped or made huge; pieces zeroed, doubled, swapped, left out. No two
    have one name: in a small file the same thing may be drawn twice.
    """
    yield from dict(_damaged(data, seed)).items()


def _damaged(data: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    draw = random.Random(seed)
    size = len(data)
    for part in range(CUTS):
        yield f"cut at {part}/{CUTS}", data[: size * part // CUTS]
    for number in range(FLIPS):
        place = _place(draw, size, edge=number % 2 == 0)
        bit = 1 << draw.randrange(8)
        yield f"bit {bit} at {place}", data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    for width in (4, 8):
        for huge in HUGE:
            place = _place(draw, size, edge=True)
            value = (huge % 256**width).to_bytes(width, draw.choice(["little", "big"]))
            yield f"{huge} at {place}", data[:place] + value + data[place + width :]
        for _ in range(10):
            place = _place(draw, size, edge=True)
            turned = data[place : place + width][::-1]
            yield f"{width} bytes turned at {place}", data[:place] + turned + data[place + width :]
    for _ in range(12):
        place, other = sorted((_place(draw, size, edge=True), _place(draw, size, edge=False)))
        length = draw.choice([1, 8, 64, 1000])
        a, b = data[place : place + length], data[other : other + length]
        yield f"{length} zeros at {place}", data[:place] + bytes(len(a)) + data[place + length :]
        yield f"{length} doubled at {place}", data[: place + length] + data[place:]
        yield f"{length} left out at {place}", data[:place] + data[place + length :]
        if other >= place + length:
            middle = data[place + length : other]
            swapped = data[:place] + b + middle + a + data[other + length :]
            yield f"{length} swapped at {place} and {other}", swapped


def _place(draw: random.Random, size: int, *, edge: bool) -> int:
    if not edge:
        return draw.randrange(size)
    near = draw.randrange(min(1024, size))
    return near if draw.random() < 0.5 else size - 1 - near


class TooSlow(Exception):
    """Opening took longer than it may."""


def open_each(
    cases: Iterator[tuple[str, bytes]], file: Path, open_it: Callable[[], str]
) -> dict[str, str]:
    """Put each case at `file` and open it in a child with limits; what happened, by its name.

    The outcome is what `open_it` returns, or "refused"; anything else names what went wrong:
    another exception, more than SECONDS of the processor, a crash. Memory is bounded to twice the
    file plus 64 MB above what the child has at its start.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    all_cases = list(cases)
    child = context.Process(target=_child, args=(theirs, all_cases, file, open_it))
    child.start()
    theirs.close()
    outcomes: dict[str, str] = {}
    try:
        while len(outcomes) < len(all_cases):
            name, outcome = ours.recv()
            outcomes[name] = outcome
    except EOFError:
        child.join()
        lost = all_cases[len(outcomes)][0]
        outcomes[lost] = f"the process died with exit code {child.exitcode}"
    child.join()
    return outcomes


def _child(
    pipe: multiprocessing.connection.Connection,  # type: ignore[name-defined]
    cases: list[tuple[str, bytes]],
    file: Path,
    open_it: Callable[[], str],
) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    signal.signal(signal.SIGVTALRM, _too_slow)
    for name, data in cases:
        limit = pages * resource.getpagesize() + 2 * len(data) + MORE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
        file.write_bytes(data)
        pipe.send((name, _outcome(open_it)))
    pipe.close()


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow


def _outcome(open_it: Callable[[], str]) -> str:
    started = time.process_time()  # other processes may hold the machine
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)
    try:
        outcome = open_it()
    except AlbertkitError as error:
        outcome = "refused" if str(error) else "refused without a word"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    seconds = time.process_time() - started
    return f"{outcome} after {seconds:.1f} s" if seconds > SECONDS else outcome
