"""What to do about a jail that cannot be had: bubblewrap's words, turned into advice for this machine."""

from pathlib import Path

_MARKS_OF_CONTAINERS = ("/.dockerenv", "/run/.containerenv")
_IN_A_CONTAINER = (
    " In a container, start it with `--security-opt seccomp=unconfined` (or a profile that allows user namespaces, as"
    " Podman's does), and with Docker also `--security-opt systempaths=unconfined`."
)
_SWITCHES = {
    "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
}


def mend(words: str) -> str:
    """Return what bubblewrap said and what helps against it."""
    said = words.replace("bwrap: ", "").strip().rstrip(".")
    if "source path" in said and "ermission denied" in said:
        return (
            f"bubblewrap says: {said}. The user that code runs as cannot reach that folder: open the folders above it "
            "to all (chmod o+x), or give another sandbox_dir and run `understudy sandbox setup`"
        )
    return f"bubblewrap says: {said}.{_switches()}{container_advice()}"


def container_advice() -> str:
    """Return the flags that a container needs, if this is one."""
    return _IN_A_CONTAINER if any(Path(mark).exists() for mark in _MARKS_OF_CONTAINERS) else ""


def _switches(root: Path = Path("/proc/sys")) -> str:
    """Return the commands for the kernel's switches that stand wrong."""
    wrong = [command for name, (value, command) in _SWITCHES.items() if _read(root / name) == value]
    return f" As root: {'; '.join(f'`{command}`' for command in wrong)}." if wrong else ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
