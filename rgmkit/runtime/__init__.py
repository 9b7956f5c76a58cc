"""Interfaces to the machine: devices, precision, processes, signals, files, locks, progress and memory."""
