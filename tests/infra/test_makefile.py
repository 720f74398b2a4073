import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.infra.project import ROOT


@pytest.fixture
def checkout(tmp_path):
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def environment():
    """That of a terminal: the tests may have been started by make itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def make(folder, *arguments):
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=60
    )


def test_help_names_every_target(checkout):
    done = make(checkout)
    assert done.returncode == 0
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in set(phony[1].split()) - {"clean"}:
        assert re.search(rf"^  make {target} ", done.stdout, re.MULTILINE), target


@pytest.mark.parametrize(
    ("version", "words"), [(None, "there is no 'oldpython' on the PATH"), ("3.9.2", "'oldpython' is Python 3.9.2")]
)
def test_says_which_python_is_needed(checkout, version, words):
    if version:
        fake = checkout / "bin" / "oldpython"
        fake.parent.mkdir()
        fake.write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo Python {version} && exit 0\nexit 1\n')
        fake.chmod(0o755)
    done = make(checkout, "test", "PYTHON=oldpython", f"PATH={checkout / 'bin'}:/usr/bin:/bin")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr
    assert words in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_environment_is_made_again_when_a_requirement_changes(checkout):
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "is up to date" in make(checkout, ".venv/.installed").stdout
    for name in ("requirements.txt", "requirements-dev.txt"):
        stamp.touch()
        later = stamp.stat().st_mtime + 5
        os.utime(checkout / name, (later, later))
        assert "pip install" in make(checkout, "-n", ".venv/.installed").stdout
        os.utime(checkout / name, (later - 60, later - 60))


def test_all_tests_share_the_cores_and_those_that_are_picked_start_at_once(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".installed").touch()
    assert "--numprocesses auto" in make(checkout, "-n", "test").stdout
    picked = make(checkout, "-n", "test", "ARGS=-k name").stdout
    assert picked.endswith("-m pytest -k name\n")


def test_what_runs_long_takes_the_place_of_its_shell():
    for module in ("infra.local", "tests.bench", "infra.deploy"):
        assert f"exec $(BIN)/python -m {module}" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("stop", ["SIGTERM to make", "Ctrl-C"])
def test_stopping_make_run_leaves_no_process(checkout, stop):
    program = checkout / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho $$\nexec sleep 60\n")
    program.chmod(0o755)
    (checkout / ".venv" / ".installed").touch()
    process = subprocess.Popen(
        ["make", "run"],
        cwd=checkout,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pid = int(process.stdout.readline())
    if stop == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # the terminal tells all of them
    else:
        process.terminate()
    assert process.wait(timeout=10) != 0
    process.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_readme_says_how_the_tests_are_run():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md")
    assert "make test" in readme.read_text()


def test_ci_runs_every_check_once_with_all_real_parts():
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert script.rstrip().endswith("export REQUIRE_REAL=1\nexec make check")
    assert "make test" not in script
