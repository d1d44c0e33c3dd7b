"""What `app.py` stands on: words, colours, what a visit leaves on the disk, a run that is followed."""
