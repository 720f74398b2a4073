"""/notices: where gateways tell what happened to a virtual account or a charge, each in its own way."""

from __future__ import annotations  # so that naming a type does not load its module

from chalice.app import Blueprint

from chalicelib.api.body import read_notice
from chalicelib.api.endpoints import Answer, Call, Plain, v1
from chalicelib.usecases import charge_notices, virtual_accounts

bp = Blueprint(__name__)

RECEIVED = "OK"
"""What gateways that tell by GET want to read, and nothing else; or they go on telling."""


@v1(bp, "POST", "/notices/{user_code}/{channel_key}", token=False, read=read_notice)
def deposit_notice(call: Call) -> Answer | Plain:
    wanted = virtual_accounts.deposit_notice(call.deps, call.path["user_code"], call.path["channel_key"], call.body)
    return Answer(None) if wanted is None else Plain(wanted, "text/html; charset=utf-8")


@v1(bp, "GET", "/notices/{user_code}/{channel_key}", token=False)
def charge_notice(call: Call) -> Plain:
    fields = {name: values[-1] for name, values in call.query.items()}
    charge_notices.charge_notice(call.deps, call.path["user_code"], call.path["channel_key"], fields)
    return Plain(RECEIVED)
