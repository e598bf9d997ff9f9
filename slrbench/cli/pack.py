"""``slrbench pack``: one archive for another machine."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from slrbench.cli import console
from slrbench.cli.common_options import Cache
from slrbench.cli.verify import find_model

HEADERS = ["Artifact", "Precision", "Parity", "Size (MB)"]


def command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A checkpoint's folder, or the id of a model in trained_models.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The archive; <model>.slrpack.zip here by default."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", metavar="LIST", help="Of torchscript, onnx, openvino, trt; all by default.")
    ] = "torchscript,onnx,openvino,trt",
    precision: Annotated[
        str, typer.Option("--precision", metavar="LIST", help="Of fp32, tf32, fp16, bf16, int8; all by default.")
    ] = "fp32,tf32,fp16,bf16,int8",
    clips: Annotated[
        int,
        typer.Option("--clips", metavar="N", min=0, help="Test clips to pack, for word error rates there; 0: none."),
    ] = 100,
    cache: Cache = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Pack a model's artifacts, parity cases, vocabulary and test clips into one archive for another machine.

    There, verify ARCHIVE judges every artifact by the stored cases, and bench ARCHIVE measures them: no torch, no
    training code and no corpus are needed. Artifacts that failed parity stay out; exit code 1 where none is left.
    """
    from slrbench.workflows.pack import pack_model

    with console.Progress() as progress:
        packed = pack_model(
            find_model(model),
            output=output,
            formats=_words(formats),
            precisions=_words(precision),
            clips=clips,
            cache=cache,
            progress=progress,
        )
    for each in packed.refused:
        console.warning(f"{each.artifact} is left out: {each.reason}")
    if json:
        console.print_json({"archive": packed.path, "pack": packed.record})
    else:
        rows = [
            [e.artifact.path, e.artifact.precision, e.parity_word, f"{e.artifact.size_bytes / 1e6:.2f}"]
            for e in packed.entries
        ]
        not_run = [(e.artifact.path, e.not_run_because) for e in packed.entries if e.not_run_because]
        console.result("\n".join([console.table(rows, HEADERS), *console.reasons("not run", not_run)]))
    if unasked := len(packed.record.left_out) - len(packed.refused):
        console.info(f"{unasked} artifact{'s' * (unasked > 1)} of other formats or precisions not packed")
    size = packed.path.stat().st_size
    console.info(
        f"{size / 1e6:.2f} MB in {len(packed.record.files) + 1} files; README.txt in it says how to install there"
    )
    there = f"python -m slrbench verify {shlex.quote(packed.path.name)}, on the other machine"
    console.wrote([packed.path], next_command=there)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
