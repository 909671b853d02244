"""HTTP in and out: one file of routes per noun."""
