"""Keys of a server's own database, made as the command makes them."""

from tests.harness.server import Server

from understudy import config, keys
from understudy.storage.api_keys import Limits


def make_key(server: Server, project: str = "proj_default", *, admin: bool = False, **limits: int) -> tuple[str, str]:
    """Return a new key's id, and the key itself."""
    settings = config.load({"data_dir": str(server.data_dir)})
    key, secret = keys.create(settings, project, None, Limits(**limits), admin=admin)
    return key.id, secret


def revoke_key(server: Server, key_id: str) -> None:
    keys.revoke(config.load({"data_dir": str(server.data_dir)}), key_id)
