"""Rules that hold in the whole tree: nothing is unpickled."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("fedmq", "tests", "benchmarks", "examples")
"""Whoever copies from a test or an example copies its way of reading files too."""
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADERS = {"torch.load", "torch.save", "numpy.load", "np.load", "torch.jit.load"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled(path: Path) -> None:
    """No module imports an unpickler or calls a loader that is one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert find_unpickling(tree) == []


def test_the_rule_looks_into_every_folder_of_code() -> None:
    """A folder that is renamed does not drop out of it in silence."""
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FOLDERS)


@pytest.mark.parametrize(
    "source", ["import pickle", "from joblib import load", "import torch\ntorch.load('x')"]
)
def test_the_rule_sees_what_it_forbids(source: str) -> None:
    """The rule above can fail."""
    assert find_unpickling(ast.parse(source))


def find_unpickling(tree: ast.AST) -> list[str]:
    """Return the names in a module that unpickle."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [one.name for one in names if one.name.split(".")[0] in UNPICKLING]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLING:
                found.append(module)
            case ast.Call(func=ast.Attribute() as function) if ast.unparse(function) in LOADERS:
                found.append(ast.unparse(function))
            case _:
                pass
    return found
