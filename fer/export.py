"""Write a trained model as ONNX to another place: in its own folder training and averaging have written it.

    python -m fer.export models/emotion_net OUT.onnx

Without OUT.onnx it is written into the model's folder, where the demos find it.
What the file holds is said in ``fer.training.export``.
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from fer import cli
from fer.files import check_output, check_output_folder


@dataclass
class ExportOptions:
    """Write a trained model as ONNX and check that it gives the same numbers as torch."""

    model: Positional[Path]
    """Folder of the model."""
    out: Positional[Path | None] = None
    """The file to write; by default model.onnx in the model's folder."""


def main(options: ExportOptions) -> None:
    """Export, and print where the file is."""
    if options.out:
        check_output("OUT", options.out)
    else:
        check_output_folder("MODEL", options.model)
    from fer.runtime import ONNX
    from fer.training.export import export

    print(export(options.model, options.out or options.model / ONNX))


if __name__ == "__main__":
    cli.run(main, ExportOptions)
