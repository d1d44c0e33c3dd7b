"""What makes reactions this listener's: the weight shift, and how it is calibrated."""
