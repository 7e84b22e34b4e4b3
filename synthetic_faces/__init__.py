"""A small portrait painter: faces made of action units, identities, poses and lights.

Read in this order: ``action_units`` (what the muscles do), ``identity`` (whose
face), ``shape`` (where every point then lies), ``relief`` (skin under light),
``features`` (eyes, brows, nose, mouth, folds), ``hair`` (hair, beard, glasses,
shoulders), ``render`` (the painter, the pose, the picture).

Face coordinates are used throughout: the origin lies between the eyes, x grows
to the right of the picture, y downwards, and one unit is half the width of a
face (about 70 mm).
"""
