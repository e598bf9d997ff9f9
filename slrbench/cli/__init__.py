"""Command line: one file per command, options in, exit code out.

``slrbench.cli.<command>`` has a function ``command``, annotated for typer, whose docstring is the command's help.
It imports what is heavy inside the function and ends in one of three ways: it returns None (exit code 0), returns an
exit code, or raises; ``app.main`` turns the error into words and an exit code.
"""
