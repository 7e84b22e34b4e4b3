"""The live demos: frames in, steady named faces out, drawn, shown and recorded.

sources -> capture -> analysis (tracking, smoothing) -> view (overlay, layout, paint) -> display, records; ``loop``
joins them and ``app`` starts them from a script's options.
"""
