"""Names of the one input and the one output that every artifact has, and the export's shape. Loads nothing."""

INPUT_NAME = "video"
OUTPUT_NAME = "log_probs"
EXAMPLE_SHAPE = (2, 16)
"""B and T of the example that exporters trace with. A batch of 1 would be taken for a constant."""
