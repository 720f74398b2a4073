"""The console in a real browser, over the service of `tests.support.world`."""

from dataclasses import dataclass
from typing import Any

from chalicelib.domain.accounts import Role
from chalicelib.usecases import accounts
from tests.support.console import PASSWORD, add_person
from tests.support.world import World


@dataclass
class ConsoleSite:
    """world: what is behind it. url: of the service."""

    world: World
    url: str

    def enter(self, page: Any, role: Role = Role.OWNER, *, language: str = "ko", theme: str = "auto") -> Any:
        """The page's browser is signed in from now on, without a form."""
        email = f"{role}@{self.world.merchant_id}.kr"
        if self._unknown(email):
            add_person(self.world, role, email)
        signed_in = accounts.sign_in(
            self.world.deps, email, PASSWORD, source_ip="203.0.113.7", device=None, user_agent="Chromium"
        )
        self._keep(page, "__Host-session", signed_in.session_token)
        return self.prefer(page, language=language, theme=theme)

    def prefer(self, page: Any, *, language: str = "ko", theme: str = "auto") -> Any:
        """The page's browser has chosen these before, signed in or not."""
        return self._keep(page, "__Host-prefs", f"{language}.{theme}.test")

    def _keep(self, page: Any, name: str, value: str) -> Any:
        address = self.url.replace("http:", "https:")
        page.context.add_cookies([{"name": name, "value": value, "url": address, "secure": True, "httpOnly": True}])
        return page

    def _unknown(self, email: str) -> bool:
        from chalicelib.domain.accounts import User
        from chalicelib.ports import Ref

        return self.world.store.load(Ref(User, (email,))) is None

    def open(self, page: Any, path: str = "") -> Any:
        page.goto(f"{self.url}/console/{path}".removesuffix("/"))
        return page
