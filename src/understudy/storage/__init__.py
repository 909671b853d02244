"""Durable truth: tables, queries, migrations; SQLite and PostgreSQL through one schema."""
