"""Where images go: the worker says so when it starts. In a script that the code starts, nowhere."""

from collections.abc import Callable

SendImage = Callable[[bytes, str], None]
"""Takes an image and its mime type."""

send_image: SendImage | None = None


def send(content: bytes, mime: str) -> None:
    """Send an image to whoever asked for the code to be run."""
    if send_image is not None:
        send_image(content, mime)
