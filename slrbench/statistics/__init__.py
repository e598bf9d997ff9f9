"""Percentiles, intervals and verdicts from raw samples: pure functions of numbers, NumPy only."""
