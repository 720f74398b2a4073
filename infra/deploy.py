"""`make deploy STAGE=dev`: the stack, the functions, and the setting between them, in the one order that works."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from infra import provision

CHALICE = (str(Path(sys.executable).with_name("chalice")),)


def main(
    arguments: list[str] | None = None, project: Path = provision.PROJECT, chalice: Sequence[str] = CHALICE
) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description="Deploy a stage to AWS.")
    provision.add_arguments(parser)
    chosen = parser.parse_args(arguments)
    try:
        provision.run(chosen.stage, chosen.region, chosen.alarm_email, deployed=False, project=project)
        _chalice_deploy([*chalice, "deploy", "--stage", chosen.stage], chosen.region, project)
        provision.run(chosen.stage, chosen.region, None, deployed=True, project=project)
    except provision.Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    print(_what_next(project, chosen.stage))
    return 0


def _chalice_deploy(command: list[str], region: str | None, project: Path) -> None:
    # Chalice has no --region.
    environment = os.environ | ({"AWS_DEFAULT_REGION": region} if region else {})
    done = subprocess.run(command, cwd=project, env=environment, check=False)
    if done.returncode != 0:
        raise provision.Stop("`chalice deploy` failed; what it said is above. Once that is mended: make deploy, again")


def _what_next(project: Path, stage: str) -> str:
    return f"""
The service answers at {api_url(project, stage)}

Make the first merchant, and note what it prints; secrets are shown once:

    .venv/bin/python -m infra.merchants create --stage {stage} --name "My shop"
"""


def api_url(project: Path, stage: str) -> str:
    deployed = json.loads((project / ".chalice" / "deployed" / f"{stage}.json").read_text())
    urls = [resource["rest_api_url"] for resource in deployed["resources"] if resource["name"] == "rest_api"]
    return str(urls[0])


if __name__ == "__main__":
    sys.exit(main())
