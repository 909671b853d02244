"""The real sandbox obeys the contract."""

from tests.contracts import contract
from tests.sandbox import sandbox_contract

globals().update(contract(sandbox_contract))
