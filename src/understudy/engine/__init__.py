"""A run's life: how it begins, what happens in it, how it ends."""
