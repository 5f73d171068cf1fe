"""Neural allometry: organs along body mass, and human clearance and volume from animals.

`prediction.py` has what users call: `predict`, `organs`, `human_curve`.
"""
