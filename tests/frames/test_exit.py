"""Frames are stored and read until the very end of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, sys, threading
sys.path.insert(0, {here!r})
import numpy as np, pandas as pd
from one_space import Space
from framekeep.frames import FrameCodec

frame = pd.DataFrame({{f"c{{i}}": np.random.rand(300_000) for i in range({columns})}})
space = Space()
space.keep(frame)  # the pool has started

def last():
    changed = frame + 1
    manifest = space.keep(changed)
    print(space.give(manifest).equals(changed), flush=True)

def in_a_thread():
    threading.main_thread().join()
    last()

{end}
"""
ENDS = {
    "as the interpreter exits": "atexit.register(last)",
    "in a thread that outlives the main one": "threading.Thread(target=in_a_thread).start()",
}


@pytest.mark.parametrize("columns", [2, 12])
@pytest.mark.parametrize("end", ENDS)
def test_a_large_frame_is_stored_and_read(end: str, columns: int) -> None:
    program = PROGRAM.format(here=str(Path(__file__).parent), columns=columns, end=ENDS[end])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")
