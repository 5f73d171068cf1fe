"""Partition coefficients between tissues and plasma: a method a file, each a formula of numbers,
arrays or expressions of a model.
"""
