"""The first call of both READMEs, run by a shell as it stands, but for the path of sandbox.json."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.local_service import ask

ROOT = Path(__file__).parents[2]
MARK = "<!-- first call: run by tests/clients/test_readme.py -->"


def first_call(readme):
    text = (ROOT / readme).read_text().split(MARK)[1]
    return re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_the_first_call_pays(local_service, readme):
    script = first_call(readme)
    script = script.replace(".local/sandbox.json", str(local_service.file))
    script = script.replace("order-$(date +%s)", f"order-$(date +%s)-{readme}")
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    issued, charged = (json.loads(part) for part in re.split(r"(?<=\})(?=\{\"code\")", done.stdout.strip()))
    assert (issued["code"], len(issued["response"]["succeededChannels"])) == (0, 2)
    assert charged["response"]["status"] == "paid"
    assert charged["response"]["amount"] == 8900


def test_the_admin_example_makes_a_default_group(local_service):
    text = (ROOT / "docs" / "api.md").read_text()
    block = text.split("<!-- admin example: run by tests/clients/test_readme.py -->")[1]
    example = re.search(r"```sh\n(.*?)```", block, re.DOTALL)[1]
    script = "\n".join(first_call("README.md").splitlines()[:2]) + "\n" + example
    script = script.replace(".local/sandbox.json", str(local_service.file))
    before = local_service["groups"]["default"]
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["default"]
    assert made.startswith("channel-group-test-")
    assert made != before
    header = {"Authorization": f"Bearer {local_service['admin_token']}"}
    ask(f"{local_service['api']}/admin/settings", {"default": before}, "PUT", header)
