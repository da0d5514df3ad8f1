"""What the proofs share (``crowd``, ``verdict`` and the programs' ``stamped``) is put on the import path."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "programs")]
