"""Merchants of a deployed stage. Secrets are shown once: only hashes are kept.

    python -m infra.merchants create --stage dev --name "My shop"
    python -m infra.merchants rotate --stage dev --imp-key 1234567890123456

Works with the operator's own AWS credentials, on the table and the key that `.chalice/config.json` names.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from chalicelib import config, container
from chalicelib.domain.errors import Unauthorized
from chalicelib.ports import Conflict, StoreUnavailable
from chalicelib.usecases import merchants

PROJECT = Path(__file__).resolve().parent.parent
UNPROVISIONED = ":000000000000:"


class Stop(Exception):
    """Nothing can be done about it here. The message is for the operator."""


def stage_environment(project: Path, stage: str) -> dict[str, str]:
    """The variables of a stage, and the region of its key: everything of a stage is in one region. Raises Stop."""
    settings = json.loads((project / ".chalice" / "config.json").read_text())
    if stage not in settings["stages"]:
        raise Stop(f".chalice/config.json has no stage {stage!r}; it has: {', '.join(settings['stages'])}")
    common = settings.get("environment_variables", {})
    variables: dict[str, str] = {**common, **settings["stages"][stage].get("environment_variables", {})}
    key = variables.get("KMS_KEY_ID", "")
    if not key or UNPROVISIONED in key:
        raise Stop(f"stage {stage} is not deployed yet: make deploy STAGE={stage}")
    return {**variables, "AWS_DEFAULT_REGION": key.split(":")[3]}


def create(name: str) -> str:
    """Make the merchant; the text to show. Raises Stop."""
    if not name.strip() or len(name) > 80:
        raise Stop("--name must have 1 to 80 characters")
    try:
        made = merchants.create(container.get(), name.strip())
    except config.ConfigError as error:
        raise Stop(f".chalice/config.json: {error}") from error
    except StoreUnavailable as error:
        raise Stop(f"AWS did not do as asked: {error}") from error
    return f"""merchant {name.strip()!r} made. Note these down: the secrets cannot be shown again.

  user_code       {made.user_code}
  imp_key         {made.imp_key}
  imp_secret      {made.imp_secret}
  admin token     {made.admin_token}
  webhook secret  {made.webhook_secret}

The webhook secret can be replaced later: POST /admin/settings/rotate-webhook-secret"""


def rotate(imp_key: str) -> str:
    """Give an API key a new secret; the text to show. Raises Stop."""
    try:
        secret = merchants.rotate_secret(container.get(), imp_key)
    except Unauthorized as error:
        raise Stop(error.message) from error
    except (config.ConfigError, StoreUnavailable, Conflict) as error:
        raise Stop(f"AWS did not do as asked: {error}") from error
    return f"""{imp_key} has a new secret. The old one gets no more tokens; tokens it got live on for up to 30 minutes.

  imp_secret      {secret}"""


def main(arguments: list[str] | None = None, project: Path = PROJECT) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.merchants", description="Merchants of a deployed stage.")
    commands = parser.add_subparsers(required=True, dest="command")
    for name, help_text in (("create", "make a merchant"), ("rotate", "a new secret for an API key")):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--stage", required=True, help="a stage of .chalice/config.json: dev, prod")
        if name == "create":
            command.add_argument("--name", required=True, help="shown in the history of changes")
        else:
            command.add_argument("--imp-key", required=True)
    chosen = parser.parse_args(arguments)
    try:
        os.environ.update(stage_environment(project, chosen.stage))
        print(create(chosen.name) if chosen.command == "create" else rotate(chosen.imp_key))
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
