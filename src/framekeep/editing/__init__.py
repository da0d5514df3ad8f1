"""Edits: a closed vocabulary of operations on frames, pure and without eval."""
