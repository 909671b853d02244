"""Run code that nobody vouches for. See `base.py` for the port and `docs/adr/0009` for the walls."""
