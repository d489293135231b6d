"""The list of faults that are planted in dbt_project is as long as promised, and each still has its place."""

import pytest

from tests.integration import dbt_copy
from tests.mutation.__main__ import faults, planted, rounds


def test_every_fault_has_its_place_and_its_reason(tmp_path):
    """What a fault replaces stands in the project; it changes something, and a person would have a reason for it."""
    listed = faults()
    assert len(listed) >= 20
    assert len(set(listed)) == len(listed)
    for fault in listed:
        assert fault.change in (dbt_copy.DBT / fault.file).read_text(), fault
        assert fault.to != fault.change
        assert fault.why


def test_a_round_has_one_fault_of_each_model_and_macros_are_alone():
    """Each fault of a model or macro is in one round, and no round has two that one unit test would see."""
    listed = [fault for fault in faults() if not fault.file.startswith("seeds/")]
    together = rounds(faults())
    assert sorted(f"{f.file} {f.change}" for each in together for f in each) == sorted(
        f"{f.file} {f.change}" for f in listed
    )
    for each in together:
        assert len({fault.file for fault in each}) == len(each)
        assert len(each) == 1 or not any(fault.file.startswith("macros/") for fault in each)


def test_a_planted_fault_is_taken_away_again(tmp_path):
    """After a round the project is as it was, also when the round failed."""
    (tmp_path / "macros").mkdir()
    (tmp_path / "macros" / "values.sql").write_text(sound := (dbt_copy.DBT / "macros" / "values.sql").read_text())
    (one,) = [fault for fault in faults(["macros/values"]) if "analyst" in fault.change]
    with pytest.raises(KeyError), planted(tmp_path, [one]):
        _fail_if((tmp_path / one.file).read_text() == sound.replace(one.change, one.to))
    assert (tmp_path / one.file).read_text() == sound


def _fail_if(it_is_planted: bool) -> None:
    if it_is_planted:
        raise KeyError
