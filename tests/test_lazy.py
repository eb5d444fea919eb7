"""A public name imports its home when it is first used, and not before."""

import sys
from pathlib import Path

import pytest

from advbench.lazy import lazy_names


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of two homes that nothing has imported yet."""
    name = "lazy_package_of_a_test"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "home.py").write_text("VALUE = 3\n\nclass Thing: pass\n")
    (tmp_path / name / "broken.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (name, f"{name}.home", f"{name}.broken"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return name


def test_a_name_is_imported_from_its_home_on_first_use(package: str) -> None:
    load, names = lazy_names(package, {"VALUE": ".home", "Thing": f"{package}.home", "path": "os"})
    assert names() == ["Thing", "VALUE", "path"]
    assert f"{package}.home" not in sys.modules
    assert load("VALUE") == 3
    assert load("Thing").__module__ == f"{package}.home"
    assert load("Thing") is load("Thing")
    assert load("path") is __import__("os").path
    del sys.modules[package], sys.modules[f"{package}.home"]


def test_an_unknown_name_is_an_attribute_that_is_not_there() -> None:
    load, _ = lazy_names("some.package", {"VALUE": ".home"})
    with pytest.raises(AttributeError, match=r"module 'some\.package' has no attribute 'Value'"):
        load("Value")
    empty, names = lazy_names("some.package", {})
    assert names() == []
    with pytest.raises(AttributeError):
        empty("__path__")


def test_what_goes_wrong_in_a_home_is_told_as_it_is(package: str) -> None:
    load, _ = lazy_names(package, {"Gone": ".home", "Broken": ".broken", "Nowhere": ".nowhere"})
    with pytest.raises(AttributeError, match="Gone"):
        load("Gone")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        load("Broken")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        load("Nowhere")
    for module in (package, f"{package}.home"):
        sys.modules.pop(module, None)
