"""How close an artifact must be to the fp32 network, by the precision that it computes in. NumPy only.

Margins and log-probabilities in nats. fp32 means: TF32 off. Half precision rounds activations to 11 (fp16) or 8 (bf16)
bits at every layer, so single log-probabilities move by percents while what is read stays the same; there the gates are
a tolerance, the best class at nearly every clear step, and decoded sequences. Int8 is judged by what it reads alone.

Measured with the shipped checkpoints made half precision, in torch on the CPU: fp16 needs an atol of up to 4.6e-3
beside the rtol of 1e-2 (largest error 0.022), bf16 up to 3.6e-2 beside 8e-2 (0.27); rows alone differ from rows in a
batch by up to 0.012 (fp16), since sums are taken in another order. Every clip decoded to the same labels.
"""

from exporters.artifact import ExporterError, Precision
from exporters.comparison import Gates

GATES: dict[Precision, Gates] = {
    "fp32": Gates(),
    "tf32": Gates(atol=5e-3, rtol=5e-3, invariance_atol=1e-2),
    "fp16": Gates(atol=1e-2, rtol=1e-2, clear_margin=2e-2, least_agreement=0.999, invariance_atol=3e-2),
    "bf16": Gates(atol=8e-2, rtol=8e-2, clear_margin=1.6e-1, least_agreement=0.999, invariance_atol=2.4e-1),
    "int8": Gates(atol=0.0, rtol=0.0, least_agreement=0.0, invariance_atol=5e-1, values=False),
}

WER_ALLOWED_INT8 = 0.01
"""By how much int8's word error rate may be above the reference's on the same clips, a share."""

PRECISIONS: tuple[Precision, ...] = tuple(GATES)


def gates_for(precision: str) -> Gates:
    """The gates of a precision.

    Raises:
        ExporterError: it is not a known word.
    """
    for known, gates in GATES.items():
        if known == precision:
            return gates
    raise ExporterError(
        f"unknown precision {precision!r}, expected one of {', '.join(PRECISIONS)}",
        hint="--precision fp32",
        bad_input=True,
    )
