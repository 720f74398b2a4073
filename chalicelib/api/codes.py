"""/cards, /banks, /users/pg: what the codes and names in a payment stand for."""

from __future__ import annotations  # so that naming a type does not load its module

from typing import TYPE_CHECKING

from chalice.app import Blueprint

from chalicelib.api.endpoints import Answer, Call, v1
from chalicelib.domain import institutions
from chalicelib.domain.errors import NotFound
from chalicelib.usecases import charges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chalicelib.domain.channels import Channel

bp = Blueprint(__name__)


@v1(bp, "GET", "/cards")
def list_cards(call: Call) -> Answer:  # noqa: ARG001 - every view takes its call
    return _list(institutions.CARDS)


@v1(bp, "GET", "/cards/{card_standard_code}")
def get_card(call: Call) -> Answer:
    return _one(institutions.CARDS, call.path["card_standard_code"], "card_standard_code")


@v1(bp, "GET", "/banks")
def list_banks(call: Call) -> Answer:  # noqa: ARG001
    return _list(institutions.BANKS)


@v1(bp, "GET", "/banks/{bank_standard_code}")
def get_bank(call: Call) -> Answer:
    return _one(institutions.BANKS, call.path["bank_standard_code"], "bank_standard_code")


def _list(names: Mapping[str, str]) -> Answer:
    return Answer([{"code": code, "name": name} for code, name in names.items()])


def _one(names: Mapping[str, str], code: str, field: str) -> Answer:
    if code not in names:
        raise NotFound(f"{field}: 등록되지 않은 코드입니다. (unknown code)")
    return Answer({"code": code, "name": names[code]})


@v1(bp, "GET", "/users/pg")
def list_channels(call: Call) -> Answer:
    """V1 files a PG setting under one of two tabs: `api_payment` takes card data by API (and may have a window, too),
    `payment` has windows only. One entry per channel, then: what can be had from it is at least what its type says.
    """
    routing = charges.load_routing(call.deps, call.merchant_id)
    return Answer([_setting(call, channel) for channel in routing.channels.values()])


def _setting(call: Call, channel: Channel) -> dict[str, object]:
    takes_card_data = call.deps.gateways.spec_of(channel).takes_card_data
    return {
        "pg_provider": channel.pg_provider,
        "pg_id": channel.pg_id,
        "sandbox": channel.is_test,
        "type": "api_payment" if takes_card_data else "payment",
        "channel_name": channel.name,
        "channel_key": channel.channel_key,
    }
