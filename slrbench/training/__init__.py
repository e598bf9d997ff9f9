"""Training, distillation, verification and checkpoints."""
