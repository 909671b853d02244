"""The fake obeys the port's contract, so that tests with it say something about the real one."""

import pytest
from tests.contracts import contract
from tests.sandbox import sandbox_contract

from understudy.errors import Unavailable
from understudy.testing import FakeSandbox, Ran


@pytest.fixture
def sandbox() -> FakeSandbox:
    return FakeSandbox(by_code={code: ran() for code, ran in sandbox_contract.SCRIPT.items()})


globals().update(contract(sandbox_contract))


async def test_turns_come_in_order() -> None:
    fake = FakeSandbox(Ran("first"), Ran("second"))
    async with fake.session("a") as session:
        assert [(await session.run("x")).logs for _ in range(3)] == ["first", "second", ""]
        assert session.codes == ["x"] * 3


async def test_one_that_is_off_says_why() -> None:
    fake = FakeSandbox(off="There is no bubblewrap.")
    assert fake.status() == {"state": "off", "kind": "fake", "why": "There is no bubblewrap."}
    with pytest.raises(Unavailable, match="no bubblewrap"):
        async with fake.session("a"):
            pass
