"""Measures registration beside SimpleITK's methods on pairs of real images."""
