"""axe-core over a page: what a machine can find of what keeps people out."""

from axe_playwright_python.sync_playwright import Axe

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "resultTypes": ["violations"],
}
RUN = "async (rules) => (await axe.run(document, rules)).violations"
"""Only what is wrong comes back from the browser: all the rest takes it three times as long."""


def check_axe(page) -> None:
    """Fails with what is wrong and where."""
    page.evaluate(Axe().axe_script)
    found = page.evaluate(RUN, RULES)
    told = [f"{rule['id']}: {rule['help']}: {[node['html'][:160] for node in rule['nodes'][:3]]}" for rule in found]
    assert not told, "\n".join(told)
