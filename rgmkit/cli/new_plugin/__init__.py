"""`rgmkit plugins new`: write a package with a plugin."""
