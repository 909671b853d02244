"""One contract suite per port: an adapter's tests take all of it, so that none can leave a part out."""

from types import ModuleType


def contract(*modules: ModuleType) -> dict[str, type]:
    """Return the test classes of contracts under the names by which pytest collects them.

    To be put into the globals of a module whose fixtures give the adapter: `globals().update(contract(bus_contract))`.
    """
    return {
        f"Test{name}": _collected(rules)
        for module in modules
        for name, rules in vars(module).items()
        if _is(rules, module)
    }


def _is(rules: object, module: ModuleType) -> bool:
    return (
        isinstance(rules, type)
        and rules.__module__ == module.__name__
        and any(name.startswith("test_") for name in vars(rules))
    )


def _collected(rules: object) -> type:
    assert isinstance(rules, type)
    return type(f"Test{rules.__name__}", (rules,), {"__module__": rules.__module__, "__doc__": rules.__doc__})
