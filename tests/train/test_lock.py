"""One process in the folder of a run; a lock that nobody holds stops nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from albertkit.errors import TrainingError
from albertkit.train.lock import LOCK, OWNER, lock_run

HOLD = """
import sys, time
from pathlib import Path
from albertkit.train.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_with_the_id_of_the_first(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with holder:
        with pytest.raises(TrainingError) as caught, lock_run(tmp_path):
            pass
        assert caught.value.facts["found"] == f"process {holder.pid}"
        assert f"kill {holder.pid}" in caught.value.facts["to do"]
        holder.kill()


def test_the_lock_of_a_killed_process_holds_nobody_up(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert (tmp_path / OWNER).exists()
    with lock_run(tmp_path):
        assert (tmp_path / OWNER).read_text().split()[0] == str(os.getpid())
    assert not (tmp_path / OWNER).exists()
    with lock_run(tmp_path):
        pass


def test_an_owner_that_cannot_be_read_is_a_refusal_all_the_same(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with holder:
        (tmp_path / OWNER).write_text("")
        with pytest.raises(TrainingError), lock_run(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
        holder.kill()
