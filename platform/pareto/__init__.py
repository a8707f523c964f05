"""Dominance, hypervolume, a study's front and the selection of its points; NumPy only.

Import from the modules; ``observations`` turns trials into what samplers and schedulers read.
"""
