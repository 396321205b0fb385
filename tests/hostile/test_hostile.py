import pytest

from tests.hostile.campaign import campaign, summary


@pytest.mark.slow
def test_no_damaged_byte_changes_a_number_without_a_word():
    found = summary(list(campaign(2000)))
    assert found["faults"] == []
    assert found["total"]["clean"] > 1000
