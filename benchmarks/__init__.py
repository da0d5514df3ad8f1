"""Benchmarks: Framekeep beside the two designs it replaces, in one run (``python -m benchmarks.run``)."""
