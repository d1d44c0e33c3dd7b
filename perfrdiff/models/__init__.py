"""The networks, their parts and their losses. Light to import by itself."""

SOLVERS = ("ddim", "dpm")  # how denoising steps are taken, see perfrdiff.sampling
