"""The heart: a kill, its sweeps and the outcome of every order they touched. Only this room changes a kill."""
