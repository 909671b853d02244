"""Jobs, live events and signals between requests, workers and followers."""
