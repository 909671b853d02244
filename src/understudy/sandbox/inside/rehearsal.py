"""What a worker does while nobody asks: once what most code does first, so that it is not slow when it counts."""

import ctypes
import gc
import io
from collections.abc import Callable


def steps() -> tuple[Callable[[], object], ...]:
    """Return what to do, in order; each takes a moment, and a request may come between two."""
    return _numbers, _tables, _plots, _read_a_table, _draw, _forget_fonts, _tidy


def give_back() -> None:
    """Return to the machine what was freed: the C library keeps it otherwise, and a session may be idle for long."""
    ctypes.CDLL(None).malloc_trim(0)


def _numbers() -> None:
    import numpy  # noqa: F401


def _tables() -> None:
    import pandas  # noqa: F401


def _plots() -> None:
    import matplotlib.pyplot  # noqa: F401


def _read_a_table() -> None:
    import pandas as pd

    repr(pd.read_csv(io.StringIO("a,b\n1,x\n2,y")).groupby("b").sum())


def _draw() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    axes = FigureCanvasAgg(figure).figure.subplots()
    axes.plot([1, 2], label="a")
    axes.set_title("A 가 中")
    axes.legend()
    figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")


def _forget_fonts() -> None:
    """Close the fonts: to open them again takes 15 ms, to keep them open several MB."""
    from matplotlib import font_manager

    font_manager._get_font.cache_clear()


def _tidy() -> None:
    gc.collect()
    gc.freeze()  # what is there now is there to stay
    give_back()
