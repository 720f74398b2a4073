import os

import pytest

from tests.infra.package import Package
from tests.infra.project import REGION, copy_project
from tests.infra.stack import provisioned


@pytest.fixture(autouse=True)
def no_real_aws(monkeypatch, tmp_path):
    """Whatever the developer is signed in to, these tests reach none of it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def project(tmp_path):
    copy_project(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """What `chalice package` makes of a provisioned stage, unpacked."""
    with provisioned(tmp_path_factory.mktemp("packaged") / "project") as stack:
        yield Package.make(stack)
