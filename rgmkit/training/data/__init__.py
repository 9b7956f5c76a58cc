"""Data sets: what a network is trained on."""
