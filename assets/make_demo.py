"""Make assets/demo.webp, the animation at the top of README, from the built-in sample.

python assets/make_demo.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import tyro

OUT = Path(__file__).with_name("demo.webp")
SIZE, SKIP, QUALITY = (560, 320), 4, 60
FRAMES = 600  # each of the eight emotions once, at 25 frames a second


def main() -> None:
    """Run the webcam script on the sample, and keep every fourth frame."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "demo.mp4"
        options = ["--source", "sample", "--no-window", "--max-frames", str(FRAMES), "--save", str(film)]
        subprocess.run([sys.executable, "-m", "fer.webcam", *options], check=True)
        with av.open(str(film)) as container:
            step = SKIP / float(container.streams.video[0].average_rate)
            frames = [frame.to_image() for i, frame in enumerate(container.decode(video=0)) if i % SKIP == 0]
    images = [frame.resize(SIZE) for frame in frames]
    images[0].save(
        OUT,
        save_all=True,
        append_images=images[1:],
        duration=round(1000 * step),
        loop=0,
        quality=QUALITY,
        method=6,
    )
    print(f"{OUT}: {len(images)} frames, {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    tyro.cli(main, prog="python -m assets.make_demo")
