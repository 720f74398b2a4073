import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"  # not the one that the committed files name


@pytest.fixture(autouse=True)
def no_real_aws(monkeypatch, tmp_path):
    """Whatever the developer is signed in to, these tests reach none of it."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def project(tmp_path):
    """A copy of what a deployment reads and writes."""
    copy_project(tmp_path / "project")
    return tmp_path / "project"


def copy_project(to: Path) -> None:
    (to / ".chalice").mkdir(parents=True)
    for name in ("config.json", "policy-dev.json", "policy-prod.json"):
        shutil.copy(ROOT / ".chalice" / name, to / ".chalice" / name)
    shutil.copy(ROOT / "app.py", to)
    shutil.copy(ROOT / "requirements.txt", to)
    shutil.copytree(ROOT / "chalicelib", to / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
