"""What every Store, and every query through it, has to pass."""

from tests.storage import (
    files_contract,
    keys_contract,
    lists_contract,
    pages_contract,
    queries_contract,
    races_contract,
    store_contract,
    vector_stores_contract,
)

STORE_CONTRACTS = (
    store_contract,
    queries_contract,
    keys_contract,
    pages_contract,
    races_contract,
    vector_stores_contract,
    files_contract,
    lists_contract,
)
