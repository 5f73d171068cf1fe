"""Numbers of bodies: what they are called, humans of any age, animals, how people differ.

Constants cite their sources by the letters of `sources.py`. Tables of numbers are CSV files in
`data/`, with unit and source at each number. Imports nothing of teorell's but errors.
"""
