"""Splits by patient, which are the same in every set."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mvg.data.case import Card, Case, DataSet, split_of


def data_set(cases: list[str]) -> DataSet:
    card = Card("heads", "heads", "MRI", "brain", ("T1",), patient=r"[^_]*")
    return DataSet(card, tuple(Case(name, card.patient_of(name), (Path(name),)) for name in cases))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), min_size=1, unique=True))
def test_splits_share_no_patient_and_lose_no_case(cases: list[tuple[int, int]]) -> None:
    heads = data_set([f"p{patient}_{visit}" for patient, visit in cases])
    train, val = heads.of_split("train").cases, heads.of_split("val").cases
    assert not {case.patient for case in train} & {case.patient for case in val}
    assert sorted((*train, *val), key=lambda case: case.name) == sorted(heads.cases, key=lambda case: case.name)


def test_about_a_fifth_of_patients_is_held_out_and_the_rule_never_changes() -> None:
    splits = [split_of(f"patient{number}") for number in range(2000)]
    assert 0.17 < splits.count("val") / 2000 < 0.23
    assert [split_of(f"patient{number:03d}") for number in range(1, 9)] == ["train"] * 5 + ["val", "train", "val"]
