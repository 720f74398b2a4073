"""The environment, read once, checked, and frozen. No other module reads `os.environ`."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field


class ConfigError(Exception):
    """The process cannot start; the text names the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """live: this stage serves live channels, so nothing that is only for trying out may be set."""

    stage: str
    table_name: str
    kms_key_id: str
    payments_queue_url: str
    notices_queue_url: str
    slow_notices_queue_url: str
    live: bool = False
    gateway_urls: Mapping[str, str] = field(default_factory=dict)
    recovery_scale: float = 1.0
    allow_loopback: bool = False


def load(environ: Mapping[str, str] | None = None) -> Settings:
    env = os.environ if environ is None else environ
    live = env.get("LIVE") == "1"
    settings = Settings(
        stage=env.get("STAGE", "dev"),
        table_name=_required(env, "TABLE_NAME"),
        kms_key_id=_required(env, "KMS_KEY_ID"),
        payments_queue_url=_required(env, "PAYMENTS_QUEUE_URL"),
        notices_queue_url=_required(env, "NOTICES_QUEUE_URL"),
        slow_notices_queue_url=_required(env, "SLOW_NOTICES_QUEUE_URL"),
        live=live,
        gateway_urls=_gateway_urls(env.get("GATEWAY_URLS", "")),
        recovery_scale=_scale(env.get("RECOVERY_SCALE", "1")),
        allow_loopback=env.get("ALLOW_LOOPBACK") == "1",
    )
    if live and (settings.gateway_urls or settings.recovery_scale != 1.0 or settings.allow_loopback):
        raise ConfigError("GATEWAY_URLS, RECOVERY_SCALE and ALLOW_LOOPBACK are refused where LIVE=1")
    return settings


def log_level() -> str:
    return os.environ.get("LOG_LEVEL", "INFO")


def on_lambda() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def queue_name(variable: str) -> str:
    """The last part of a queue's URL, for the decorators in app.py; a name of no queue until the stack exists."""
    return os.environ.get(variable, f"unprovisioned-{variable.lower().replace('_', '-')}").rsplit("/", 1)[-1]


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigError(f"{name} is not set")
    return value


def _gateway_urls(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        urls = json.loads(text)
    except ValueError as error:
        raise ConfigError("GATEWAY_URLS is not JSON") from error
    if not isinstance(urls, dict) or not all(isinstance(url, str) for url in urls.values()):
        raise ConfigError("GATEWAY_URLS must be an object of provider -> URL")
    return {provider: url.rstrip("/") for provider, url in urls.items()}


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError as error:
        raise ConfigError("RECOVERY_SCALE is not a number") from error
    if not 0 < scale <= 1:
        raise ConfigError("RECOVERY_SCALE must be above 0 and at most 1")
    return scale
