"""What things are: degradations, forward processes, priors, objectives and solvers."""
