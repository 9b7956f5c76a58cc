"""What a machine needs: devices and precision, processes, signals, files, locks, progress and memory."""
