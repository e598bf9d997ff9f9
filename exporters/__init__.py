"""Exporters: a module in, a file and a manifest out. Imports nothing, so that nothing heavy loads by accident."""
