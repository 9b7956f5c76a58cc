"""rgmkit's own solvers, one short file each; the classical ones are deepinv's (`rgmkit_deepinv`)."""
