"""Profiles of columns: counts, quantiles, histograms, top values."""
