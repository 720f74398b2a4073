"""Creates or updates what Chalice does not deploy, and tells Chalice about it.

    python -m infra.provision --stage dev [--region ap-northeast-2] [--alarm-email ops@example.com]

makes the stack of infra/template.yaml and writes what it is called into `.chalice/config.json` (environment variables)
and `.chalice/policy-<stage>.json` (resource ARNs). Then `chalice deploy --stage dev`, and after it

    python -m infra.provision --stage dev --after-deploy

sets the one thing Chalice has no setting for: that the queue functions answer which messages of a batch failed. Every
step may be repeated; `make deploy STAGE=dev` takes all three.
"""

import argparse
import contextlib
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, WaiterError

from infra.table import TEMPLATE

APP = "smart-routing"
PROJECT = Path(__file__).resolve().parent.parent
QUEUE_FUNCTIONS = {
    "run_payments": "PAYMENTS_QUEUE_URL",
    "deliver_notices": "NOTICES_QUEUE_URL",
    "deliver_slow_notices": "SLOW_NOTICES_QUEUE_URL",
}
REPORT_FAILURES = ["ReportBatchItemFailures"]

_UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
_ENVIRONMENT = {
    "TABLE_NAME": "TableName",
    "KMS_KEY_ID": "KeyArn",
    "PAYMENTS_QUEUE_URL": "PaymentsQueueUrl",
    "NOTICES_QUEUE_URL": "NoticesQueueUrl",
    "SLOW_NOTICES_QUEUE_URL": "SlowNoticesQueueUrl",
}


class Stop(Exception):
    """Nothing can be done about it here. The message is for the operator."""


# --- the stack ---------------------------------------------------------------------------------------------------


def provision(session: Any, stage: str, alarm_email: str | None) -> dict[str, str]:
    """Create or update the stack, wait for it, and return its outputs. alarm_email None: leave it as it is."""
    client = session.client("cloudformation")
    name = f"{APP}-{stage}"
    stack = _describe(client, name)
    if stack is None:
        _create(client, name, stage, alarm_email or "")
    elif stack["StackStatus"] in _UPDATABLE:
        _update(client, name, stage, alarm_email)
    else:
        raise Stop(_why_not(name, stack["StackStatus"]))
    stack = _describe(client, name)
    if stack is None:
        raise Stop(f"stack {name} has disappeared")
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        # CloudFormation has no code of its own for "no such stack".
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return stack


def _create(client: Any, name: str, stage: str, alarm_email: str) -> None:
    print(f"creating stack {name}: table, queues, key, alarms (a few minutes)")
    client.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[_parameter("Stage", stage), _parameter("AlarmEmail", alarm_email)],
        Tags=[{"Key": "app", "Value": APP}, {"Key": "stage", "Value": stage}],
        EnableTerminationProtection=True,
    )
    _wait(client, name, "stack_create_complete")


def _update(client: Any, name: str, stage: str, alarm_email: str | None) -> None:
    email = {"ParameterKey": "AlarmEmail", "UsePreviousValue": True}
    if alarm_email is not None:
        email = _parameter("AlarmEmail", alarm_email)
    try:
        client.update_stack(
            StackName=name,
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[_parameter("Stage", stage), email],
        )
    except ClientError as error:
        if "No updates are to be performed" not in error.response["Error"]["Message"]:
            raise
        print(f"stack {name} is up to date")
        return
    print(f"updating stack {name}")
    _wait(client, name, "stack_update_complete")


def _parameter(name: str, value: str) -> dict[str, Any]:
    return {"ParameterKey": name, "ParameterValue": value}


def _wait(client: Any, name: str, waiter: str) -> None:
    try:
        client.get_waiter(waiter).wait(StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 360})
    except WaiterError as error:
        raise Stop(f"stack {name} failed:\n" + "\n".join(_failures(client, name))) from error


def _failures(client: Any, name: str) -> Iterator[str]:
    for event in client.describe_stack_events(StackName=name)["StackEvents"]:
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = event.get("ResourceStatusReason", "no reason given")
            yield f"  {event['LogicalResourceId']}: {reason}"


def _why_not(name: str, status: str) -> str:
    if status.endswith("_IN_PROGRESS"):
        return f"stack {name} is {status}: somebody else is at it. Wait until that has ended, then try again"
    if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED"):
        return (
            f"stack {name} is {status}: its first creation failed, and CloudFormation cannot update such a stack. "
            "Read its events, remove the cause, delete the stack, try again"
        )
    return f"stack {name} is {status}: that needs a person in the CloudFormation console"


# --- what Chalice reads ------------------------------------------------------------------------------------------


def write_config(folder: Path, stage: str, outputs: dict[str, str]) -> None:
    """Put the outputs into the stage's environment variables; everything else in the file stays as it is."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if stage not in config["stages"]:
        raise Stop(f"{path} has no stage {stage!r}; it has: {', '.join(config['stages'])}")
    variables = config["stages"][stage].setdefault("environment_variables", {})
    variables |= {name: outputs[output] for name, output in _ENVIRONMENT.items()}
    _write_json(path, config)


def write_policy(folder: Path, stage: str, outputs: dict[str, str]) -> None:
    """Point the stage's policy at this account and region."""
    path = folder / f"policy-{stage}.json"
    policy = json.loads(path.read_text())
    place = Place.of(outputs)
    for statement in policy["Statement"]:
        statement["Resource"] = [place.move(arn) for arn in statement["Resource"]]
        via = statement.get("Condition", {}).get("StringEquals", {})
        if "kms:ViaService" in via:
            via["kms:ViaService"] = f"dynamodb.{place.region}.{place.dns_suffix}"
    _write_json(path, policy)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack lives, and its key, whose name is not ours to choose."""

    partition: str
    region: str
    account: str
    key_arn: str

    @classmethod
    def of(cls, outputs: dict[str, str]) -> "Place":
        _, partition, _, region, account, _ = outputs["TableArn"].split(":", 5)
        return cls(partition, region, account, outputs["KeyArn"])

    @property
    def dns_suffix(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def move(self, arn: str) -> str:
        _, _, service, _, _, resource = arn.split(":", 5)
        if service == "kms":
            return self.key_arn
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if text != path.read_text():
        path.write_text(text)
        print(f"wrote {path}")


# --- after chalice deploy ----------------------------------------------------------------------------------------


def after_deploy(session: Any, folder: Path, stage: str, *, patience: float = 120.0, poll: float = 2.0) -> None:
    """Make the queue mappings report failures message by message.

    Without it Lambda takes any answer as "all done" and deletes the messages that failed.
    patience: seconds to wait for each mapping; poll: seconds between two looks at it.
    """
    client = session.client("lambda")
    variables = json.loads((folder / "config.json").read_text())["stages"][stage]["environment_variables"]
    for function, url_name in QUEUE_FUNCTIONS.items():
        name = f"{APP}-{stage}-{function}"
        for uuid in _mappings(client, name, _queue_arn(variables, url_name)):
            _report_failures(client, uuid, patience, poll)
            print(f"{name} reports failures message by message")


def _queue_arn(variables: dict[str, str], url_name: str) -> str:
    _, partition, _, region, account, _ = variables["KMS_KEY_ID"].split(":", 5)
    return f"arn:{partition}:sqs:{region}:{account}:{variables[url_name].rsplit('/', 1)[1]}"


def _mappings(client: Any, function: str, queue_arn: str) -> list[str]:
    """The ids of the mappings from this queue to this function. Raises Stop if there is none."""
    pages = client.get_paginator("list_event_source_mappings").paginate(EventSourceArn=queue_arn)
    found = [
        mapping["UUID"]
        for page in pages
        for mapping in page["EventSourceMappings"]
        if mapping["FunctionArn"].rsplit(":", 1)[1] == function
    ]
    if not found:
        raise Stop(f"{queue_arn} is not connected to the function {function}: run `chalice deploy` first")
    return found


def _report_failures(client: Any, uuid: str, patience: float, poll: float) -> None:
    """Set it and read it back; a mapping that is still being changed refuses, so ask until it has taken it."""
    give_up_at = time.monotonic() + patience
    while True:
        mapping = client.get_event_source_mapping(UUID=uuid)
        settled = not mapping["State"].endswith("ing")
        if settled and mapping.get("FunctionResponseTypes") == REPORT_FAILURES:
            return
        if time.monotonic() > give_up_at:
            raise Stop(f"the queue mapping {uuid} is {mapping['State']} and does not take {REPORT_FAILURES}")
        if settled:
            _try_to_set(client, uuid)
        time.sleep(poll)


def _try_to_set(client: Any, uuid: str) -> None:
    busy = (client.exceptions.ResourceInUseException, client.exceptions.ResourceConflictException)
    with contextlib.suppress(*busy):
        client.update_event_source_mapping(UUID=uuid, FunctionResponseTypes=REPORT_FAILURES)


# --- the command line --------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None, project: Path = PROJECT) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.provision", description="Create or update a stage's stack.")
    add_arguments(parser)
    parser.add_argument("--after-deploy", action="store_true", help="set what Chalice cannot, once it has deployed")
    chosen = parser.parse_args(arguments)
    try:
        run(chosen.stage, chosen.region, chosen.alarm_email, deployed=chosen.after_deploy, project=project)
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stage", required=True, type=_stage, help="a stage of .chalice/config.json: dev, prod")
    parser.add_argument("--region", help="AWS region (default: your AWS profile's)")
    parser.add_argument("--alarm-email", help="where alarms go; AWS asks that address to confirm once")


def run(stage: str, region: str | None, alarm_email: str | None, *, deployed: bool, project: Path) -> None:
    """One step of the deployment. deployed: the step after `chalice deploy`. Raises Stop."""
    folder = project / ".chalice"
    try:
        session = boto3.Session(region_name=region)
        if session.region_name is None:
            raise Stop("no AWS region: pass --region, or set AWS_DEFAULT_REGION")
        account = session.client("sts").get_caller_identity()["Account"]
        print(f"stage {stage}, account {account}, region {session.region_name}")
        if deployed:
            after_deploy(session, folder, stage)
            return
        outputs = provision(session, stage, alarm_email)
    except (BotoCoreError, ClientError) as error:
        raise Stop(_explain(error)) from error
    write_config(folder, stage, outputs)
    write_policy(folder, stage, outputs)


def _explain(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, NoCredentialsError):
        return "no AWS credentials: run `aws configure`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
    if isinstance(error, ClientError) and error.response["Error"]["Code"] in (
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    ):
        return f"AWS does not accept these credentials: {error.response['Error']['Message']}"
    return str(error)


def _stage(text: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9]{0,15}", text):
        raise argparse.ArgumentTypeError("small letters and digits, at most 16")
    return text


if __name__ == "__main__":
    sys.exit(main())
