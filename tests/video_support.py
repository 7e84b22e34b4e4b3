"""Small videos to read."""

from fractions import Fraction

import av
import numpy as np


def write_video(path, frames=6, rotation=0, rate=10, title=None, codec="libx264", step=1, **options):
    """Film a bright left half; frame k is 16 k darker (modulo 256) and comes at k steps of 1 / rate seconds."""
    with av.open(str(path), "w", options=options) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            picture = np.zeros((32, 64, 3), np.uint8)
            picture[:, :32] = (240 - 16 * number) % 256
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = step * number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
