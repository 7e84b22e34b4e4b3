"""What the webcam and screen demos share: frames in, drawn frames and records out."""
