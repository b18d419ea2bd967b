"""When memory is looked through."""

import gc

import pytest

from dualgan.runtime.garbage import not_collected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_afterwards(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with not_collected():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        with pytest.raises(ZeroDivisionError), not_collected():
            _ = 1 / 0
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
