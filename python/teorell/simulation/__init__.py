"""A problem, its numbers, the arguments of the core, steady state, and labels
for what comes back.
"""
