"""The only package that joins training, exporters, runners, measuring and reporting."""
