"""Who listens for a row's signal; how signals cross is each bus's own, and in the contract."""

from understudy.bus.signals import Listeners


async def test_nobody_listens_any_more_after_the_context() -> None:
    listeners = Listeners()
    async with listeners.listening("run_1") as one, listeners.listening("run_1") as other:
        listeners.tell("run_1")
        listeners.tell("run_2")
        assert one.is_set()
        assert other.is_set()
    assert listeners._of_rows == {}
