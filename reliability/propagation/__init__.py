"""Propagation of means and covariances through a network whose weights are random, in closed form.

Every value is taken as jointly normal over chips: after a layer with weights that is the central limit
theorem over its inputs, after an activation it is the assumption whose error the check against simulated
chips shows.
"""
