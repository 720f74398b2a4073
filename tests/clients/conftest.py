from tests.support.local_service import hook, local_service

__all__ = ["hook", "local_service"]
