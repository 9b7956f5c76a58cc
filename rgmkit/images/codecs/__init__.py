"""Readers and writers of picture formats, one module each, with `decode(data)` and `encode(array)`."""
