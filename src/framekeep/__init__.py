"""Framekeep keeps DataFrames between requests."""
