"""The web page: a client of the public API and of nothing else. What it is made of lies in `static/`."""
