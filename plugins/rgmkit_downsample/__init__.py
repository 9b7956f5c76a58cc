"""See the modules beside this file."""
