"""rgmkit's own solvers, one short file each. `rgmkit_deepinv` has the classical ones."""
