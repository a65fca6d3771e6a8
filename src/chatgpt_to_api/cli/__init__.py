"""The command line: it starts things and nothing else."""
