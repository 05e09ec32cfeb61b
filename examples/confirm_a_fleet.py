"""The Developer Center's client as a library: confirm the plans of all MQTT devices of an account, and watch them."""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ble_ota import fleet
from ble_ota.cloud import DeveloperCenter
from ble_ota.model import Secret
from ble_ota.mqtt import Action, Keys, MqttPlan, Order, Ref, judge
from ble_ota.virtual.developer_center import DeveloperCenter as VirtualCenter
from ble_ota.virtual.developer_center import Habits, OnlineTerms, serve
from ble_ota.virtual.world import World


def told(ref: Ref, plan: MqttPlan | None) -> None:
    print(ref.keys, f"{plan.said(time.time())} {plan.progress or 0:.0%}" if plan else "is not listed any more")


async def main(folder: Path) -> None:
    world = World.create(folder, online=3)  # with an account of your own: its URL, user domain, secret and login
    virtual, user = VirtualCenter(world, online=OnlineTerms({"*": Habits(download_s=0.2, upgrade_s=0.2)})), world.user
    secret = Secret(user.user_domain_secret)
    async with (
        serve(virtual) as url,
        DeveloperCenter(url, user_domain=user.user_domain, user_domain_secret=secret, report_status={}) as center,
    ):
        await center.login_by_email(user.email, Secret(user.password))
        keys = [Keys(d.product_key, d.device_key) async for d in center.devices() if not d.ble_only]
        plans = [found.plan for found in await fleet.plans(center, keys) if found.plan]
        judged = [judge(plan, Action.CONFIRM, now_s=time.time()) for plan in plans]
        orders = [order for order in judged if isinstance(order, Order)]
        given = await fleet.give(center, orders, batch=50, clock=time.time)
        refs = [one.order.ref for one in given if one.outcome is fleet.Outcome.TAKEN]
        await fleet.watch(center, refs, batch=50, poll_s=0.1, on_change=told, on_trouble=print, clock=time.time)


with TemporaryDirectory() as scratch:
    asyncio.run(main(Path(scratch)))
