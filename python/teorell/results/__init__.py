"""What a simulation returns: solutions, gradients, failures, NCA, pictures."""
