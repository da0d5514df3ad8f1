"""Put the corpus of odd frames (``tests/frames/odd``) and the helpers beside this file on the import path."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "frames")]
