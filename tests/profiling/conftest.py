"""Put the corpus of odd frames and the helpers of ``tests/exporting`` on the import path."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "exporting"), str(TESTS / "frames")]
