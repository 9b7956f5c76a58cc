"""Experiments: a grid of images, degradations, methods and seeds, run cell by cell, and its report."""
