"""Opening what is sealed: a channel's connection to its gateway, and the billing keys stored for it."""

from collections.abc import Mapping

from chalicelib.domain.channels import ArchivedChannel, Channel
from chalicelib.domain.errors import NotFound
from chalicelib.domain.keys import BillingKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.payments import Payment
from chalicelib.ports import Deps, Gateway, Ref


def seal_credentials(deps: Deps, routing: Routing, channel_key: str, credentials: Mapping[str, str]) -> str:
    return deps.sealer.seal(routing.data_key, _channel_context(routing, channel_key), credentials)


def open_gateway(deps: Deps, routing: Routing, channel_key: str) -> Gateway:
    """The connection of a channel, also of a deleted one: what it charged must still be cancelled and settled."""
    channel = channel_of(deps, routing, channel_key)
    return deps.gateways.open(channel, open_credentials(deps, routing, channel))


def open_credentials(deps: Deps, routing: Routing, channel: Channel) -> dict[str, str]:
    return deps.sealer.open(
        routing.data_key, _channel_context(routing, channel.channel_key), channel.sealed_credentials
    )


def channel_of(deps: Deps, routing: Routing, channel_key: str) -> Channel:
    """A channel, also a deleted one. Raises NotFound."""
    if channel := routing.channels.get(channel_key):
        return channel
    archived = deps.store.load(Ref(ArchivedChannel, (routing.merchant_id, channel_key)))
    if archived is None:
        raise NotFound(f"존재하지 않는 채널입니다: {channel_key[:80]} (unknown channel)")
    return archived.channel


def seal_key(deps: Deps, routing: Routing, customer_uid: str, channel_key: str, secret: Mapping[str, str]) -> str:
    return deps.sealer.seal(routing.data_key, _key_context(routing, customer_uid, channel_key), secret)


def open_key(deps: Deps, routing: Routing, key: BillingKey, channel_key: str) -> dict[str, str]:
    context = _key_context(routing, key.customer_uid, channel_key)
    return deps.sealer.open(routing.data_key, context, key.channels[channel_key].sealed_secret)


def seal_kept(deps: Deps, routing: Routing, payment: Payment, kept: Mapping[str, str]) -> str | None:
    """What a window left, sealed for this payment; None if it left nothing."""
    return deps.sealer.seal(routing.data_key, _kept_context(payment), kept) if kept else None


def open_kept(deps: Deps, routing: Routing, payment: Payment) -> dict[str, str]:
    sealed = payment.sealed_kept
    return deps.sealer.open(routing.data_key, _kept_context(payment), sealed) if sealed else {}


def _kept_context(payment: Payment) -> tuple[str, ...]:
    return ("window", payment.merchant_id, payment.imp_uid)


def _channel_context(routing: Routing, channel_key: str) -> tuple[str, ...]:
    return ("credentials", routing.merchant_id, channel_key)


def _key_context(routing: Routing, customer_uid: str, channel_key: str) -> tuple[str, ...]:
    return ("billing_key", routing.merchant_id, customer_uid, channel_key)
