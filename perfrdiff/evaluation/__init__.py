"""What generated reactions are worth: the challenge's metrics with baselines, and behaviour against known truth."""
