"""The small store and the recipes of the tests of training serve here as well."""

from tests.training.conftest import make_recipe, store

__all__ = ["make_recipe", "store"]
