"""A file's way in: received, kept, taken apart, searchable."""
