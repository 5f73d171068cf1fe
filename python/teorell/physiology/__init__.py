"""Numbers of bodies: what they are called, the reference adults, how people differ, what is valid.

Constants cite their sources by the letters of `sources.py`. Imports nothing of teorell's but
errors.
"""
