import json
import re

import boto3
import pytest
from moto import mock_aws

from chalicelib import container
from chalicelib.domain.accounts import Role
from chalicelib.domain.errors import Unauthorized
from chalicelib.usecases import accounts, tokens
from chalicelib.usecases import merchants as usecase
from infra import merchants, table

REGION = "eu-west-1"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A project whose stage `dev` is deployed, and what is in its AWS account."""
    with mock_aws():
        dynamodb = boto3.client("dynamodb", region_name=REGION)
        table.create_table(dynamodb, "smart-routing-dev")
        key = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
        variables = {
            "STAGE": "dev",
            "TABLE_NAME": "smart-routing-dev",
            "KMS_KEY_ID": key,
            "PAYMENTS_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/smart-routing-dev-payments",
            "NOTICES_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/smart-routing-dev-notices",
            "SLOW_NOTICES_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/smart-routing-dev-slow-notices",
        }
        for name in (*variables, "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "")  # so that what the command sets is undone
        write(tmp_path, {"dev": variables, "prod": {"KMS_KEY_ID": "arn:aws:kms:eu-west-1:000000000000:key/0"}})
        container.install(None)
        yield tmp_path
        container.install(None)


def write(project, stages):
    (project / ".chalice").mkdir()
    config = {"stages": {name: {"environment_variables": variables} for name, variables in stages.items()}}
    (project / ".chalice" / "config.json").write_text(json.dumps(config))


def test_makes_a_merchant_who_can_sign_in(stage, capsys):
    assert merchants.main(["create", "--stage", "dev", "--name", " My shop "], project=stage) == 0
    shown = dict(re.findall(r"^  ([a-z_ ]+?) {2,}(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert set(shown) == {"user_code", "imp_key", "imp_secret", "admin token", "webhook secret"}
    deps = container.get()
    token = tokens.issue(deps, shown["imp_key"], shown["imp_secret"])
    assert tokens.check(deps, token.token) == shown["user_code"]
    assert usecase.check_admin(deps, shown["admin token"]).name == "My shop"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--stage", "prod", "--name", "x"], "stage prod is not deployed yet: make deploy STAGE=prod"),
        (["--stage", "nowhere", "--name", "x"], "has no stage 'nowhere'; it has: dev, prod"),
        (["--stage", "dev", "--name", " "], "1 to 80 characters"),
        (["--stage", "dev", "--name", "x" * 81], "1 to 80 characters"),
    ],
)
def test_says_what_is_in_the_way(stage, capsys, arguments, reason):
    assert merchants.main(["create", *arguments], project=stage) == 1
    assert reason in capsys.readouterr().err


def test_says_that_the_table_is_gone(stage, capsys):
    boto3.client("dynamodb", region_name=REGION).delete_table(TableName="smart-routing-dev")
    assert merchants.main(["create", "--stage", "dev", "--name", "x"], project=stage) == 1
    assert "AWS did not do as asked" in capsys.readouterr().err


def test_a_secret_is_rotated(stage, capsys):
    merchants.main(["create", "--stage", "dev", "--name", "shop"], project=stage)
    shown = dict(re.findall(r"^  ([a-z_ ]+?) {2,}(\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert merchants.main(["rotate", "--stage", "dev", "--imp-key", shown["imp_key"]], project=stage) == 0
    fresh = re.search(r"imp_secret +(\S+)", capsys.readouterr().out)[1]
    deps = container.get()
    with pytest.raises(Unauthorized):
        tokens.issue(deps, shown["imp_key"], shown["imp_secret"])
    assert tokens.issue(deps, shown["imp_key"], fresh).token
    assert merchants.main(["rotate", "--stage", "dev", "--imp-key", "0" * 16], project=stage) == 1


# --- people ----------------------------------------------------------------------------------------------------------

PASSWORD = "correct horse battery"


def made(capsys, stage, *more):
    assert merchants.main(["create", "--stage", "dev", "--name", "shop", *more], project=stage) == 0
    out = capsys.readouterr().out
    return re.search(r"user_code +(\S+)", out)[1], out


def invited(out):
    return re.search(r"invitation +\S*/console/invitations/(\S+)", out)[1]


def sign_in(email, password):
    deps = container.get()
    signed_in = accounts.sign_in(deps, email, password, source_ip="10.0.0.1", device=None, user_agent="")
    return accounts.check_session(deps, signed_in.session_token).operator


def invite(stage, user_code, email, *more):
    arguments = ["invite", "--stage", "dev", "--user-code", user_code, "--email", email, "--name", "Kim", *more]
    return merchants.main(arguments, project=stage)


def test_a_merchant_with_its_owner_in_one_go(stage, capsys):
    user_code, out = made(capsys, stage, "--owner-email", "Kim@shop.kr")
    accounts.accept_invitation(container.get(), invited(out), PASSWORD)
    operator = sign_in("kim@shop.kr", PASSWORD)
    assert (operator.merchant_id, operator.role) == (user_code, Role.OWNER)


@pytest.mark.parametrize(("email", "reason"), [("kim@shop.kr", "in use already"), ("kim", "not an e-mail address")])
def test_no_merchant_is_made_for_who_cannot_own_it(stage, capsys, email, reason):
    made(capsys, stage, "--owner-email", "kim@shop.kr")
    assert merchants.main(["create", "--stage", "dev", "--name", "2", "--owner-email", email], project=stage) == 1
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.out == ""


def test_people_are_invited_with_a_role_and_get_the_whole_link(stage, capsys):
    user_code, _ = made(capsys, stage)
    folder = stage / ".chalice" / "deployed"
    folder.mkdir()
    url = "https://abc.execute-api.eu-west-1.amazonaws.com/dev"
    resources = [{"name": "sweep"}, {"name": "rest_api", "rest_api_id": "abc", "rest_api_url": f"{url}/"}]
    (folder / "dev.json").write_text(json.dumps({"resources": resources}))
    assert invite(stage, user_code, "lee@shop.kr", "--role", "viewer") == 0
    out = capsys.readouterr().out
    assert f"{url}/console/invitations/" in out
    accounts.accept_invitation(container.get(), invited(out), PASSWORD)
    assert sign_in("lee@shop.kr", PASSWORD).role is Role.VIEWER


def test_the_last_owner_finds_the_way_back_in(stage, capsys):
    user_code, out = made(capsys, stage, "--owner-email", "kim@shop.kr")
    accounts.accept_invitation(container.get(), invited(out), PASSWORD)
    assert invite(stage, user_code, "kim@shop.kr", "--role", "viewer") == 0
    out = capsys.readouterr().out
    assert "is here already" in out
    with pytest.raises(Unauthorized):
        sign_in("kim@shop.kr", PASSWORD)
    accounts.accept_invitation(container.get(), invited(out), "another long one")
    assert sign_in("kim@shop.kr", "another long one").role is Role.OWNER


def test_who_cannot_be_invited(stage, capsys):
    user_code, _ = made(capsys, stage, "--owner-email", "kim@shop.kr")
    other, _ = made(capsys, stage)
    for code, email, reason in (
        (other, "kim@shop.kr", "in use already"),
        ("imp00000000", "lee@shop.kr", "imp00000000"),
        (user_code, "lee", "not an e-mail address"),
    ):
        assert invite(stage, code, email) == 1
        captured = capsys.readouterr()
        assert reason in captured.err
        assert captured.out == ""
