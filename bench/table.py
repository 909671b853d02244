"""The table that a run of the benchmark prints."""


def head() -> None:
    print("| what | measured | target | met |\n|---|---|---|---|", flush=True)


def row(what: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False) -> None:
    """Print a row at once; without a target it is a limit to compare with."""
    met = "" if target is None else "yes" if (value >= target if at_least else value <= target) else "**no**"
    wanted = "" if target is None else f"{'≥' if at_least else '≤'} {target:g} {unit}"
    print(f"| {what} | {value:.3g} {unit} | {wanted} | {met} |", flush=True)
