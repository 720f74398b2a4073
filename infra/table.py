"""The table as infra/template.yaml defines it, for everything that is not CloudFormation.

The template is the single source of truth: the local run and the tests create the table from what it says, so an index
that exists only on a developer's machine, or only in production, cannot happen. Protection, encryption and backups are
left out; they are CloudFormation's to set and no local server has them.
"""

import functools
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with Chalice and cfn-lint; its stubs are not worth a requirement

TEMPLATE = Path(__file__).with_name("template.yaml")
_SHARED_WITH_THE_API = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")


class _CloudFormationLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads `!Ref x` as {"Ref": x} and `!Sub x` as {"Fn::Sub": x}, as CloudFormation itself does."""


def _tagged(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_CloudFormationLoader.add_multi_constructor("!", _tagged)


@functools.cache
def template() -> dict[str, Any]:
    """Everybody gets the same one: to be read only."""
    document: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _CloudFormationLoader)  # noqa: S506 - a SafeLoader
    return document


def definition() -> dict[str, Any]:
    """The arguments of CreateTable, without the table's name."""
    properties = template()["Resources"]["Table"]["Properties"]
    return {name: properties[name] for name in _SHARED_WITH_THE_API}


def create_table(client: Any, name: str) -> None:
    """Create the table and wait until it can be used. client: a boto3 DynamoDB client."""
    client.create_table(TableName=name, **definition())
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    client.update_time_to_live(TableName=name, TimeToLiveSpecification=_time_to_live())


def _time_to_live() -> dict[str, Any]:
    specification: dict[str, Any] = template()["Resources"]["Table"]["Properties"]["TimeToLiveSpecification"]
    return specification
