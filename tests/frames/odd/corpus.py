"""The whole corpus: importing this fills the register."""

from odd import arrow, axes, cells, extension, numbers, shapes, times
from odd.registry import CORPUS, Fate, Odd

__all__ = ["CORPUS", "Fate", "Odd", "arrow", "axes", "cells", "extension", "numbers", "shapes", "times"]
