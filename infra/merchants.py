"""Makes a merchant in a deployed stage, and prints what its owner needs. Secrets are shown once: only hashes are kept.

    python -m infra.merchants create --stage dev --name "My shop"

Works with the operator's own AWS credentials, on the table and the key that `.chalice/config.json` names.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from chalicelib import config, container
from chalicelib.ports import StoreUnavailable
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
  webhook secret  {made.webhook_secret}"""


def main(arguments: list[str] | None = None, project: Path = PROJECT) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.merchants", description="Merchants of a deployed stage.")
    command = parser.add_subparsers(required=True).add_parser("create", help="make a merchant")
    command.add_argument("--stage", required=True, help="a stage of .chalice/config.json: dev, prod")
    command.add_argument("--name", required=True, help="shown in the history of changes")
    chosen = parser.parse_args(arguments)
    try:
        os.environ.update(stage_environment(project, chosen.stage))
        print(create(chosen.name))
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
