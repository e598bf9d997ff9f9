"""Measuring: clocks, sampling, rounds, worker processes, environment."""
