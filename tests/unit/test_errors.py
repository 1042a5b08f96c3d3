import inspect

import pytest

from nextcart import errors
from nextcart.errors import NextcartError

TREE = {
    "NextcartError": ("Exception", 1),
    "InputError": ("NextcartError", 2),
    "ConfigError": ("InputError", 2),
    "UnreadableInput": ("InputError", 2),
    "TooManyRejects": ("InputError", 2),
    "StoreError": ("NextcartError", 1),
    "StoreMissing": ("StoreError", 2),
    "RepositoryError": ("NextcartError", 1),
    "VersionMissing": ("RepositoryError", 2),
    "ArtifactCorrupt": ("RepositoryError", 1),
    "RunFailed": ("NextcartError", 1),
    "SessionsUnavailable": ("NextcartError", 1),
    "LogUnavailable": ("NextcartError", 1),
    "LogFull": ("LogUnavailable", 1),
    "LogBusy": ("LogUnavailable", 1),
}
"""Each error's parent, and the exit code of a command that ends with it: 2 for bad input, 1 for a failed run."""

CLASSES = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}


def test_the_tree_is_as_it_is_drawn():
    assert {name: (each.__base__.__name__, each.exit_code) for name, each in CLASSES.items()} == TREE


@pytest.mark.parametrize("name", TREE)
def test_the_drawing_names_every_error_and_each_says_what_it_is_for(name):
    assert name in errors.__doc__
    assert CLASSES[name].__doc__


def test_one_except_catches_them_all():
    for each in CLASSES.values():
        with pytest.raises(NextcartError, match="the remedy"):
            raise each("the remedy")
