"""Merchants of a deployed stage. Secrets are shown once: only hashes are kept.

    python -m infra.merchants create --stage dev --name "My shop"
    python -m infra.merchants create --stage dev --name "My shop" --owner-email kim@shop.example
    python -m infra.merchants rotate --stage dev --imp-key 1234567890123456
    python -m infra.merchants invite --stage dev --user-code imp12345678 --email lee@shop.example --name Lee

`invite` is also the way back in for who has lost a password: it makes a new link for a person who is here already.
Works with the operator's own AWS credentials, on the table and the key that `.chalice/config.json` names.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chalicelib import config, container
from chalicelib.domain.accounts import Operator, Role
from chalicelib.domain.errors import NotFound, RouterError
from chalicelib.domain.merchants import Routing
from chalicelib.ports import Conflict, Ref, StoreUnavailable
from chalicelib.usecases import accounts, merchants

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


def create(name: str) -> tuple[str, str]:
    """Make the merchant. Returns its user_code, and the text to show. Raises Stop."""
    if not name.strip() or len(name) > 80:
        raise Stop("--name must have 1 to 80 characters")
    with _told():
        made = merchants.create(container.get(), name.strip())
    return (
        made.user_code,
        f"""merchant {name.strip()!r} made. Note these down: the secrets cannot be shown again.

  user_code       {made.user_code}
  imp_key         {made.imp_key}
  imp_secret      {made.imp_secret}
  admin token     {made.admin_token}
  webhook secret  {made.webhook_secret}

The webhook secret can be replaced later: POST /admin/settings/rotate-webhook-secret""",
    )


def check_free(email: str) -> None:
    """Before a merchant is made for somebody. Raises Stop."""
    with _told():
        accounts.check_free(container.get(), email)


def invite(user_code: str, email: str, name: str, role: str, console: str | None) -> str:
    """Invite a person, or let one who is here already choose a new password; the text to show.

    console: where the API answers, if that is known. Raises Stop.
    """
    with _told():
        deps = container.get()
        if deps.store.load(Ref(Routing, (user_code,))) is None:
            raise Stop(f"there is no merchant {user_code}")
        operator = Operator(user_code, "infra.merchants")
        try:
            accounts.person(deps, operator, email)
        except NotFound:
            token = accounts.invite(deps, operator, email, name, Role(role))
            done = f"{email} is invited as {role}."
        else:
            token = accounts.reset(deps, operator, email, may_be_last=True)
            done = f"{email} is here already, and keeps the role. Password and sessions up to now count no more."
    path = accounts.invitation_path(token)
    where = f"{console}{path}" if console else f"{path}   (after the address of the API)"
    return f"""{done} The link works once, for 72 hours. Hand it over by a safe way:

  invitation      {where}"""


def api_url(project: Path, stage: str) -> str | None:
    """Where Chalice has deployed the stage's API; None if this machine does not know."""
    try:
        deployed = json.loads((project / ".chalice" / "deployed" / f"{stage}.json").read_text())
    except FileNotFoundError:
        return None
    urls = [resource["rest_api_url"] for resource in deployed["resources"] if "rest_api_url" in resource]
    return urls[0].rstrip("/") if urls else None


def rotate(imp_key: str) -> str:
    """Give an API key a new secret; the text to show. Raises Stop."""
    with _told():
        secret = merchants.rotate_secret(container.get(), imp_key)
    return f"""{imp_key} has a new secret. The old one gets no more tokens; tokens it got live on for up to 30 minutes.

  imp_secret      {secret}"""


@contextmanager
def _told() -> Iterator[None]:
    """What the service refuses, and what AWS does not do, as Stop."""
    try:
        yield
    except RouterError as error:
        raise Stop(error.message) from error
    except config.ConfigError as error:
        raise Stop(f".chalice/config.json: {error}") from error
    except (StoreUnavailable, Conflict) as error:
        raise Stop(f"AWS did not do as asked: {error}") from error


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.merchants", description="Merchants of a deployed stage.")
    commands = parser.add_subparsers(required=True, dest="command")
    made = commands.add_parser("create", help="make a merchant")
    made.add_argument("--name", required=True, help="shown in the history of changes")
    made.add_argument("--owner-email", help="also invite this person as the merchant's owner")
    rotated = commands.add_parser("rotate", help="a new secret for an API key")
    rotated.add_argument("--imp-key", required=True)
    invited = commands.add_parser("invite", help="a link by which a person can sign in to the console, or can again")
    invited.add_argument("--user-code", required=True, help="whose merchant: imp and eight digits")
    invited.add_argument("--email", required=True)
    invited.add_argument("--name", required=True)
    invited.add_argument("--role", choices=[str(role) for role in Role], default=str(Role.OWNER))
    for command in (made, rotated, invited):
        command.add_argument("--stage", required=True, help="a stage of .chalice/config.json: dev, prod")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None, project: Path = PROJECT) -> int:
    chosen = _arguments(arguments)
    try:
        os.environ.update(stage_environment(project, chosen.stage))
        console = api_url(project, chosen.stage)
        match chosen.command:
            case "rotate":
                print(rotate(chosen.imp_key))
            case "invite":
                print(invite(chosen.user_code, chosen.email, chosen.name, chosen.role, console))
            case "create":
                _create(chosen, console)
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    return 0


def _create(chosen: argparse.Namespace, console: str | None) -> None:
    """The merchant is shown before its owner is invited: should that fail, its secrets are not lost."""
    if chosen.owner_email:
        check_free(chosen.owner_email)
    user_code, text = create(chosen.name)
    print(text, flush=True)
    if chosen.owner_email:
        name = chosen.owner_email.partition("@")[0]
        print("\n" + invite(user_code, chosen.owner_email, name, str(Role.OWNER), console))


if __name__ == "__main__":
    sys.exit(main())
