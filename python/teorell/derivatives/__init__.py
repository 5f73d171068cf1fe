"""Losses, and derivatives with NumPy and with torch."""
