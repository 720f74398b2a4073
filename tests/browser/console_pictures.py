"""The pictures of docs/console.md and the READMEs, made anew from a day of trade that is always the same.

SCREENSHOTS=docs/images python -m pytest tests/browser/console_pictures.py
"""

import math
import os
import random
from dataclasses import replace
from pathlib import Path

from chalicelib import container
from chalicelib.domain.charging import Buyer
from chalicelib.usecases import billing_keys, charges
from chalicelib.usecases.billing_keys import Issue
from chalicelib.usecases.choosing import Target
from tests.support.clock import SettableClock
from tests.support.world import CARD, NO_FUNDS, STOLEN, request

FOLDER = Path(os.environ.get("SCREENSHOTS") or ".local/screenshots")
SIZE = {"width": 1280, "height": 1060}
NAMES = ("홍길동", "김영희", "이철수", "박민수", "최지우")


class BusyClock(SettableClock):
    """Gateways take their time."""

    def __init__(self, dice):
        super().__init__()
        self._dice = dice
        self._spent = 0.0

    def monotonic(self):
        self._spent += self._dice.lognormvariate(-1.6, 0.5)
        return super().monotonic() + self._spent


def trade(world, dice, group_id):
    """A day and a half: quiet nights, busy evenings, some cards that are refused, one gateway that fails at the end."""
    for hour in range(30):
        orders = 5 + round(11 * math.sin(math.pi * ((hour + 3) % 24) / 24) ** 2) + dice.randrange(4)
        for n in range(orders):
            card = dice.choices((CARD, NO_FUNDS, STOLEN), (95, 4, 1))[0]
            wanted = request(
                f"order-{hour:02d}{n:02d}",
                dice.choice((8900, 15000, 32000, 89000)),
                name="의자",
                buyer=Buyer(dice.choice(NAMES), "buyer@example.com", "010-1234-5678"),
            )
            charges.charge_card(world.deps, world.merchant_id, wanted, card, Target(group_id=group_id))
            world.clock.advance(seconds=3500 / orders)
        world.clock.set(world.clock.now().replace(minute=0, second=0, microsecond=0))
        world.clock.advance(hours=1)


def test_pictures(new_console, open_page):
    dice = random.Random(4)
    site = new_console("tosspayments", "nice_v2", "kcp")
    world = site.world
    clock = BusyClock(dice)
    for box in world.sandboxes.values():
        box.clock.follow(lambda: clock.now().timestamp())
    world.clock = clock
    world.deps = replace(world.deps, clock=clock, rng=random.Random(11))
    container.install(world.deps)
    toss, nice = world.channel("tosspayments", "토스 정기결제"), world.channel("nice_v2", "나이스 일반")
    group = world.group([(toss, 60), (nice, 40)], name="정기결제")
    for n in range(40):
        billing_keys.issue(world.deps, world.merchant_id, Issue(f"customer-{n}", CARD, Target(group_id=group.group_id)))
    trade(world, dice, group.group_id)
    kcp = world.channel("kcp", "KCP 신규")
    world.group([(kcp, 100)], name="KCP 시험", default=False)
    world.sandboxes["kcp"].fail("charge", "reply_lost", times=3)
    for n in range(3):
        charges.charge_card(world.deps, world.merchant_id, request(f"kcp-{n}", 50000), CARD, Target(channel_key=kcp))
        world.run_queue()
    page = site.enter(open_page(viewport=SIZE, color_scheme="light"))
    FOLDER.mkdir(parents=True, exist_ok=True)

    def take(path, name, **options):
        site.open(page, path)
        page.screenshot(path=FOLDER / f"console-{name}.png", animations="disabled", **options)

    take("", "dashboard")
    order = charges.charge_card(
        world.deps, world.merchant_id, request("order-9999", 32000), CARD, Target(group_id=group.group_id)
    )
    take(f"payments/{order.imp_uid}", "payment", full_page=True)
    site.open(page, f"groups/{group.group_id}")
    page.screenshot(path=FOLDER / "console-group.png", animations="disabled", full_page=True)
