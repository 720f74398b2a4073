"""The documents name what is there: every route, every gateway, every table item; and nothing that is not."""

import re
from pathlib import Path

import pytest

from chalicelib.api.schemas import WindowPayment
from chalicelib.container import SystemClock
from chalicelib.gateways.http import HttpClient
from chalicelib.gateways.registry import ADAPTERS, Registry
from chalicelib.storage.items import KINDS
from infra import gateway_table

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "api.md").read_text()


def routes():
    from app import app

    return sorted(path for path in app.routes if not path.startswith("/console"))  # pages for people


def spelled(path):
    """`/payments/find/{merchant_uid}/{payment_status}` stands in the page as one line with an optional part."""
    path = path.replace("{group_id}", "{id}")
    return (path, path.removeprefix("/"), path.replace("/{payment_status}", "[/{payment_status}]"))


@pytest.mark.parametrize("path", routes())
def test_every_route_is_described(path):
    assert any(form in API for form in spelled(path)), f"{path} is missing in docs/api.md"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_table_of_gateways_is_up_to_date(language):
    text = gateway_table.FILES[language].read_text()
    table = gateway_table.render(language)
    assert gateway_table.inserted(text, table) == text, "run: .venv/bin/python -m infra.gateway_table"
    assert all(f"| `{provider}` |" in table for provider in ADAPTERS)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_table_of_windows_is_up_to_date(language):
    text = gateway_table.WINDOW_FILES[language].read_text()
    table = gateway_table.render_windows(language)
    stale = "run: .venv/bin/python -m infra.gateway_table"
    assert gateway_table.inserted(text, table, gateway_table.WINDOW_MARKS) == text, stale
    registry = Registry(HttpClient(), SystemClock())
    with_windows = {provider for provider in ADAPTERS if registry.spec(provider).windows}
    assert set(re.findall(r"\(gateways/(\w+)\.md\)", table)) == with_windows


@pytest.mark.parametrize("page", ["payment-window.md", "payment-window.ko.md"])
def test_every_parameter_of_the_window_is_explained(page):
    text = (ROOT / "docs" / page).read_text()
    names = {name for f, info in WindowPayment.model_fields.items() for name in _names(f, info)}
    missing = {name for name in names if f"`{name}`" not in text and f"`{name}." not in text}
    assert not missing


def _names(field, info):
    alias = info.validation_alias
    return [alias.choices[0]] if alias else [field]


def test_every_gateway_has_its_page():
    assert {page.stem for page in (ROOT / "docs" / "gateways").glob("*.md")} == {*ADAPTERS, "README", "without-adapter"}


def test_every_kind_of_item_is_in_the_architecture():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for kind in KINDS:
        assert kind.__name__ in text


def test_links_between_documents_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
