"""Which adapter serves which provider.

A plain mapping, so that a search for a provider's name finds its file. Modules are imported when first needed: a
cold start pays only for the gateways it calls.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import cast

from chalicelib.domain.channels import Channel
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.specs import GatewaySpec
from chalicelib.gateways.http import HttpClient
from chalicelib.ports import Clock, Gateway

ADAPTERS: Mapping[str, str] = MappingProxyType({
    "html5_inicis": "chalicelib.gateways.html5_inicis",
    "kcp": "chalicelib.gateways.kcp",
    "kicc": "chalicelib.gateways.kicc",
    "ksnet": "chalicelib.gateways.ksnet",
    "nice_v2": "chalicelib.gateways.nice_v2",
    "paymentwall": "chalicelib.gateways.paymentwall",
    "paypal_v2": "chalicelib.gateways.paypal_v2",
    "settle": "chalicelib.gateways.settle",
    "smartro_v2": "chalicelib.gateways.smartro_v2",
    "tosspayments": "chalicelib.gateways.tosspayments",
    "welcome": "chalicelib.gateways.welcome",
})  # fmt: skip
"""provider -> module. A module has SPEC, URLS (environment -> base URL), and a class Adapter; for a gateway with a
window also WINDOW_URLS (environment -> name -> what the browser is sent to)."""


class Registry:
    """Implements ports.Gateways.

    base_urls: provider -> another server that speaks the gateway's protocol. It holds for test channels only, so
    that no setting can lead real cards away from the real gateway.
    """

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        base_urls: Mapping[str, str] | None = None,
        *,
        serves_live: bool = True,
    ) -> None:
        self._serves_live = serves_live
        self._http = http
        self._clock = clock
        self._base_urls = dict(base_urls or {})

    def spec(self, provider: str) -> GatewaySpec:
        return cast("GatewaySpec", _module(provider).SPEC)

    def spec_of(self, channel: Channel) -> GatewaySpec:
        return self.spec(channel.pg_provider).under(channel.options)

    def specs(self) -> Sequence[GatewaySpec]:
        return [self.spec(provider) for provider in ADAPTERS]

    def open(self, channel: Channel, credentials: Mapping[str, str]) -> Gateway:
        if not (channel.is_test or self._serves_live):
            raise Refused(
                "이 스테이지에서는 실연동 채널을 사용할 수 없습니다. (this stage serves test channels only: LIVE=0)"
            )
        module = _module(channel.pg_provider)
        adapter = module.Adapter(
            credentials=credentials,
            pg_id=channel.pg_id,
            base_url=self._base_url(channel, module),
            http=self._http,
            clock=self._clock,
        )
        adapter.spec = module.SPEC.under(module.SPEC.options(credentials))
        if module.SPEC.windows:
            adapter.window_urls = self._window_urls(channel, module)
        return cast("Gateway", adapter)

    def _base_url(self, channel: Channel, module: ModuleType) -> str:
        url = cast("str", module.URLS[channel.environment])
        if channel.is_test:
            url = self._base_urls.get(channel.pg_provider, url)
        return url.rstrip("/")

    def _window_urls(self, channel: Channel, module: ModuleType) -> Mapping[str, str]:
        """A server in place of the gateway's serves the browser, too."""
        urls = cast("Mapping[str, str]", module.WINDOW_URLS[channel.environment])
        if channel.is_test and channel.pg_provider in self._base_urls:
            return dict.fromkeys(urls, self._base_url(channel, module))
        return urls


def _module(provider: str) -> ModuleType:
    path = ADAPTERS.get(provider)
    if path is None:
        known = ", ".join(ADAPTERS)
        raise InvalidRequest(
            "pg_provider", f"pg_provider: 지원하지 않는 PG입니다. 사용 가능: {known} (unknown gateway)"
        )
    return import_module(path)
