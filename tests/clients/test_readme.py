"""The first call of both READMEs, run by a shell as it stands, but for port and path."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = "<!-- first call: run by tests/clients/test_readme.py -->"


def first_call(readme):
    text = (ROOT / readme).read_text().split(MARK)[1]
    return re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_the_first_call_pays(local_service, readme):
    script = first_call(readme)
    assert "API=http://127.0.0.1:8000\n" in script
    script = script.replace("http://127.0.0.1:8000", local_service["api"])
    script = script.replace(".local/sandbox.json", str(local_service.file))
    script = script.replace("order-$(date +%s)", f"order-$(date +%s)-{readme}")
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    issued, charged = (json.loads(part) for part in re.split(r"(?<=\})(?=\{\"code\")", done.stdout.strip()))
    assert (issued["code"], len(issued["response"]["succeededChannels"])) == (0, 2)
    assert charged["response"]["status"] == "paid"
    assert charged["response"]["amount"] == 8900
