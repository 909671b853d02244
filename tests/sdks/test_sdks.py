"""The official SDKs of every generation drive the server without complaint, each in an environment of its own."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.harness.environments import node_with, python_with
from tests.harness.server import Server

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(400)]

_HERE = Path(__file__).parent
_DRIVE_S = 120.0
_OLD = "httpx<0.28"  # before 1.55.3 the SDK hands httpx an argument that 0.28 took away

PYTHON = {
    "1.21.0": ("openai==1.21.0", _OLD),
    "1.30.1": ("openai==1.30.1", _OLD),
    "1.61.0": ("openai==1.61.0",),
    "2": ("openai>=2,<3",),
    "3.52.0": ("openai==3.52.0",),
}
NODE = {"4": "openai@4", "5": "openai@5", "6": "openai@6", "7": "openai@7"}


@pytest.mark.parametrize("requirements", PYTHON.values(), ids=PYTHON)
def test_python(requirements: tuple[str, ...], own_server: Server) -> None:
    drive([str(python_with(*requirements)), str(_HERE / "drive_python.py")], own_server)


@pytest.mark.parametrize("requirements", PYTHON.values(), ids=PYTHON)
def test_vector_stores(requirements: tuple[str, ...], own_server: Server) -> None:
    drive([str(python_with(*requirements)), str(_HERE / "drive_vector_stores.py")], own_server)


@pytest.mark.parametrize("package", NODE.values(), ids=NODE)
def test_node(package: str, own_server: Server) -> None:
    drive(["node", str(_HERE / "drive_node.cjs"), str(node_with(package))], own_server)


def drive(command: list[str], server: Server) -> None:
    env = {"PATH": os.environ["PATH"], "OPENAI_BASE_URL": server.url + "/v1", "OPENAI_API_KEY": "sk-test"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_DRIVE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "had no complaint" in done.stdout
