"""Which assistants and threads have a file in their code interpreter: a deleted file leaves them too."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from understudy.protocol.tools import ToolResources
from understudy.storage.schema import assistants, file_uses, threads

_OWNERS = (assistants, threads)


def keep(connection: Connection, owner_id: str, resources: ToolResources, *, new: bool = False) -> None:
    """Note which files an assistant or a thread has, in the place of those that it had before."""
    if not new:
        forget(connection, owner_id)
    file_ids = resources.get("code_interpreter", {"file_ids": []})["file_ids"]
    rows = [{"file_id": file_id, "owner_id": owner_id} for file_id in dict.fromkeys(file_ids)]
    if rows:
        connection.execute(file_uses.insert(), rows)


def forget(connection: Connection, owner_id: str) -> None:
    """Note that an assistant or a thread is gone."""
    connection.execute(delete(file_uses).where(file_uses.c.owner_id == owner_id))


def remove(connection: Connection, file_id: str) -> None:
    """Take a file out of all that use it."""
    mine = file_uses.c.file_id == file_id
    owners = connection.execute(select(file_uses.c.owner_id).where(mine)).scalars().all()
    for owner_id in owners:
        _take_out(connection, owner_id, file_id)
    if owners:
        connection.execute(delete(file_uses).where(mine))


def _take_out(connection: Connection, owner_id: str, file_id: str) -> None:
    for table in _OWNERS:
        found = connection.execute(select(table.c.tool_resources).where(table.c.id == owner_id)).scalar()
        if found and "code_interpreter" in found:
            left: Sequence[str] = [one for one in found["code_interpreter"]["file_ids"] if one != file_id]
            changed = {**found, "code_interpreter": {"file_ids": left}}
            connection.execute(update(table).where(table.c.id == owner_id).values(tool_resources=changed))
