"""Put the corpus of odd frames (the package ``odd`` beside this file) on the import path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
