"""matplotlib's backend inside the jail: what is shown goes to the outlet as a PNG."""

import io
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from understudy.sandbox.inside import outlet


class FigureManager(FigureManagerBase):
    """`plt.show()` shows all open figures and closes them, as notebooks do; `figure.show()` shows one."""

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        show_open()

    def show(self) -> None:
        show(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):
    """Draws with Agg."""

    manager_class = FigureManager


def show_open() -> None:
    """Show every open figure that has something in it, and close them all."""
    try:
        for manager in Gcf.get_all_fig_managers():
            if manager.canvas.figure.get_axes() or manager.canvas.figure.texts:
                show(manager.canvas.figure, close=False)
    finally:
        Gcf.destroy_all()


def show(figure: Any, *, close: bool = True) -> None:
    """Show one figure."""
    if outlet.send_image is not None:
        content = io.BytesIO()
        figure.savefig(content, format="png", bbox_inches="tight")
        outlet.send(content.getvalue(), "image/png")
    if close:
        Gcf.destroy_fig(figure)
