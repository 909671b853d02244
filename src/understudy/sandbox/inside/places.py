"""Where things lie inside the jail."""

DATA = "/mnt/data"
HOME = "/home/sandbox"
TEMP = "/tmp"  # noqa: S108  # the jail's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108  # the jail's own
WRITABLE = (DATA, HOME, TEMP, SHARED_MEMORY)
"""Each is a file system of its own, with a size. All else is read-only."""

CONFIG_HOME = f"{HOME}/.matplotlib"
SOURCES = "/opt/inside"
VENV = "/opt/venv"
PYTHON = "/opt/python"
