"""A stand-in for Clear Street: the same wire, its own process, faults on demand."""
