"""Run once, when the environment is built: put the CJK fonts among matplotlib's own and write its list of fonts.

`python fonts.py VENV FOLDER`. The paths of matplotlib's own fonts are relative in the list, so they hold inside too.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
from matplotlib import font_manager

KOREAN, CHINESE = "Noto Sans KR", "Noto Sans SC"
FONT_FILES = ("pylopdf_fonts_ko/NotoSansKR-Regular.otf", "pylopdf_fonts_zh_cn/NotoSansSC-Regular.otf")
FAMILIES = ("DejaVu Sans", KOREAN, CHINESE)
"""Each glyph comes from the first of these that has it."""

ALIASES = {
    KOREAN: ("NanumGothic", "NanumBarunGothic", "Malgun Gothic", "AppleGothic", "Noto Sans CJK KR", "Gulim", "Dotum"),
    CHINESE: (
        *(
            "SimHei",
            "SimSun",
            "Microsoft YaHei",
            "PingFang SC",
            "PingFang HK",
            "Heiti TC",
            "STHeiti",
            "STSong",
            "KaiTi",
        ),
        *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK JP"),
        *(
            "Source Han Sans SC",
            "Source Han Sans CN",
            "Arial Unicode MS",
            "Hiragino Sans GB",
            "FangSong",
            "STSong",
            "KaiTi",
        ),
    ),
}
"""Models ask for the fonts of the machines that their examples were written on."""


def main() -> None:
    """Do it."""
    venv, folder = Path(sys.argv[1]), Path(sys.argv[2])
    packages = next(venv.glob("lib/python*/site-packages"))
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for file in FONT_FILES:
        shutil.copyfile(packages / file, own / Path(file).name)
        shutil.rmtree(packages / Path(file).parent)
    fonts = font_manager.FontManager()
    fonts.ttflist = [font for font in fonts.ttflist if _is_inside(font.fname, own)]
    for family, names in ALIASES.items():
        entry = next(font for font in fonts.ttflist if font.name == family)
        known = {font.name for font in fonts.ttflist}
        fonts.ttflist += [replace(entry, name=name) for name in names if name not in known]
    font_manager.json_dump(fonts, folder / f"fontlist-v{fonts.__version__}.json")
    families = ", ".join(FAMILIES)
    (venv / "matplotlibrc").write_text(f"font.family: {families}\naxes.unicode_minus: True\n", encoding="utf-8")


def _is_inside(path: str, own: Path) -> bool:
    return Path(path).is_relative_to(own.parent) or path.startswith("/usr/share/")


main()
