"""Make assets/gallery.webp, the picture of `fer.predict --gallery` in README, from synthetic people. Needs Chromium.

python -m assets.make_gallery
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import tyro
from PIL import Image

from synthetic_faces.actor import Actor

OUT = Path(__file__).with_name("gallery.webp")
WINDOW, QUALITY = (1180, 640), 70
SIZES = ((640, 480), (480, 600), (600, 600), (720, 480))
SECONDS = 3  # of each emotion; it is full in the middle


def main(chromium: str = "chromium") -> None:
    """Render forty photos, name their emotions, and photograph the page."""
    with tempfile.TemporaryDirectory() as folder:
        photos, page, picture = (
            Path(folder) / "photos",
            Path(folder) / "faces.html",
            Path(folder) / "page.png",
        )
        photos.mkdir()
        for n in range(40):
            group = n % 10 == 1
            actor = Actor(
                (960, 540) if group else SIZES[n % 4],
                seconds_per_emotion=SECONDS,
                seed=n,
                faces=1 + 2 * group,
            )
            cv2.imwrite(str(photos / f"IMG_{2040 + 7 * n}.jpg"), actor.frame((n % 8 + 0.53) * SECONDS))
        command = [
            sys.executable,
            "-m",
            "fer.predict",
            photos,
            "--csv",
            page.with_suffix(".csv"),
            "--gallery",
            page,
        ]
        subprocess.run(command, check=True)
        options = [
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            f"--window-size={WINDOW[0]},{WINDOW[1]}",
        ]
        wait = ["--virtual-time-budget=5000", f"--user-data-dir={folder}/profile"]
        subprocess.run([chromium, *options, *wait, f"--screenshot={picture}", page.as_uri()], check=True)
        Image.open(picture).convert("RGB").save(OUT, quality=QUALITY, method=6)
    print(f"{OUT}: {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m assets.make_gallery")
