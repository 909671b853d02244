"""The Python that the code meets: IPython without a terminal, whose values are printed and whose images are sent."""

import base64
import io
import signal
import sys
import threading
from typing import Any, cast

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from understudy.sandbox.inside import outlet

_IMAGES = ("image/png", "image/jpeg")
_FIGURES = "understudy.sandbox.inside.figures"


def _show(formats: dict[str, Any]) -> None:
    """Give out a value: as an image if it has one, else as text."""
    for mime in _IMAGES:
        content = formats.get(mime)
        if isinstance(content, str):
            content = base64.b64decode(content)
        if isinstance(content, bytes):
            outlet.send(content, mime)
            return
    if "text/plain" in formats:
        print(formats["text/plain"])


class _Values(DisplayHook):
    """Gives out the value of a cell's last expression, without the prompt of a notebook."""

    def quiet(self) -> bool:
        """Say whether the cell ends with a semicolon: then its value is not asked for."""
        return bool(self.semicolon_at_end_of_expression(self.shell.cell))

    def start_displayhook(self) -> None:
        pass

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: dict[str, Any], md_dict: Any = None) -> None:
        _show(format_dict)

    def finish_displayhook(self) -> None:
        pass


class _Shown(DisplayPublisher):
    """Gives out what is given to `display()`."""

    def publish(self, data: dict[str, Any], *_: Any, **__: Any) -> None:
        _show(data)


class Shell(InteractiveShell):
    """One for the life of the session."""

    displayhook_class = _Values
    display_pub_class = _Shown

    def enable_matplotlib(self, gui: str | None = None) -> tuple[str | None, str]:
        """`%matplotlib inline` asks for what is there already."""
        return gui, f"module://{_FIGURES}"

    cell = ""

    def run(self, code: str) -> bool:
        """Run a cell, show the figures that it left open, and say whether it raised nothing."""
        self.cell = code
        if "PIL" in code:
            _let_pil_show()
        succeeded = bool(self.run_cell(code, store_history=False).success)
        if figures := sys.modules.get(_FIGURES):
            try:
                figures.show_open()
            except Exception:
                self.showtraceback()
                return False
        return succeeded

    def showtraceback(self, *told: Any, **how: Any) -> None:
        """Tell of an error. Who interrupts code does so again and again, and would interrupt this as well."""
        if threading.current_thread() is not threading.main_thread():
            super().showtraceback(*told, **how)
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            super().showtraceback(*told, **how)
        finally:
            signal.signal(signal.SIGINT, before or signal.default_int_handler)

    def system(self, cmd: str) -> None:
        """`!command`: without the terminal that notebooks give it."""
        sys.stdout.flush()
        self.system_raw(cmd)

    def enable_gui(self, gui: str | None = None) -> None:
        """There is no window to open."""


def make() -> Shell:
    """Return the shell."""
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    settings.InteractiveShell.xmode = "Context"
    settings.InteractiveShell.cache_size = 0  # a value is kept by who names it
    settings.InteractiveShell.enable_tip = False
    shell = Shell.instance(config=settings)
    shell.run_cell("", store_history=False)
    shell.display_formatter.active_types = ["text/plain", *_IMAGES]
    shell.display_formatter.formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", _figure)
    return cast("Shell", shell)


def _figure(figure: Any) -> None:
    """Show a figure that is a value; not again at the cell's end."""
    from understudy.sandbox.inside import figures

    figures.show(figure)


def _let_pil_show() -> None:
    """Have `image.show()` give out the image; there is no viewer to start."""
    from PIL import ImageShow

    class Outlet(ImageShow.Viewer):
        def show(self, image: Any, **_: Any) -> int:
            content = io.BytesIO()
            image.save(content, format="PNG")
            outlet.send(content.getvalue(), "image/png")
            return 1

    if not any(type(viewer).__name__ == "Outlet" for viewer in ImageShow._viewers):
        ImageShow.register(Outlet, 0)
