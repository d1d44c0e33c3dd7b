"""The shell: every command is a function of the library and nothing else."""
