from uuid import uuid4

import pytest

from tests.support.local_service import hook, local_service

__all__ = ["hook", "local_service"]


@pytest.fixture
def order():
    """A merchant_uid that nobody has used."""
    return str(uuid4())
