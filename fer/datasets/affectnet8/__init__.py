"""AffectNet8, a quarter of a million photos of faces labelled with eight expressions, and other releases of AffectNet.

Source: Mollahosseini et al. 2017, arXiv:1708.03985 (the release of 2021 with
eight labels). Faces are not shipped: dataset/README.md says how to get them.
"""
