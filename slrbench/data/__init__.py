"""Corpora and clips."""
