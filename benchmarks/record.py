"""What every benchmark keeps: its numbers, and the machine, load, date and versions that they are of."""

import json
import os
import platform
import time
from pathlib import Path

import cv2
import torch

from fer.files import replacing

DEVICE = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def save(out: Path, **numbers: object) -> None:
    """Write the numbers of a benchmark as JSON, with the circumstances before them."""
    circumstances = {
        "machine": machine(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
    }
    with replacing(out) as temporary:
        temporary.write_text(json.dumps(circumstances | numbers, indent=1) + "\n", "utf-8")


def machine() -> str:
    """Name the machine's kind."""
    gpu = {"cpu": "no GPU", "cuda": torch.cuda.get_device_name() if DEVICE.type == "cuda" else ""}
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {gpu.get(DEVICE.type, DEVICE.type)}"
