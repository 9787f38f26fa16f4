"""Where pictures come from: cards and cases of data sets, and the store of prepared slices."""

from mvg.data.case import Card, Case, DataSet
from mvg.data.preparation import prepare
from mvg.data.sets import open_folder, open_set, sets_in
from mvg.data.store import Store, StoredSet, StoredSlice

__all__ = [
    "Card",
    "Case",
    "DataSet",
    "Store",
    "StoredSet",
    "StoredSlice",
    "open_folder",
    "open_set",
    "prepare",
    "sets_in",
]
