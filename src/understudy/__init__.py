"""Understudy: a self-hosted server that speaks the Assistants API v2."""

from importlib.metadata import version

__version__ = version("understudy")
