"""Where the project is, and a copy of the part of it that a deployment reads and writes."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"  # not the one that the committed files name


def copy_project(to: Path) -> None:
    (to / ".chalice").mkdir(parents=True)
    for name in ("config.json", "policy-dev.json", "policy-prod.json"):
        shutil.copy(ROOT / ".chalice" / name, to / ".chalice" / name)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(ROOT / name, to)
    shutil.copytree(ROOT / "chalicelib", to / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
