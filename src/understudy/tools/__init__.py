"""What a model may call beside its client's functions."""
