"""Names of the one input and the one output that every artifact has. Loads nothing."""

INPUT_NAME = "video"
OUTPUT_NAME = "log_probs"
