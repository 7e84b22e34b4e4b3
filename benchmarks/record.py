"""What every benchmark keeps: its numbers, and the machine, load, date and versions that they are of."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fer.files import replacing

if TYPE_CHECKING:
    import torch


def save(out: Path, **numbers: object) -> None:
    """Write the numbers of a benchmark as JSON, with the circumstances before them."""
    import cv2
    import torch

    circumstances = {
        "machine": machine(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
    }
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(circumstances | numbers, indent=1) + "\n", "utf-8")


def device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    import torch

    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def machine() -> str:
    """Return system, processor, cores and GPU of this machine."""
    import torch

    kind = device().type
    gpu = torch.cuda.get_device_name() if kind == "cuda" else "no GPU" if kind == "cpu" else kind
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {gpu}"
