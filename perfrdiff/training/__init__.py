"""Training of the networks: the stages of the paper, the demo weights, and the loop they share."""
