# ruff: noqa: INP001 - a script, not of a package
"""Make queues.png, the picture of the queues page in README.

usage: python docs/pictures/queues.py

A demonstration is started in a temporary folder, one of its nodes is ended, and an experiment is
published to all four: so the page shows three nodes at work and one that is away, with its task
waiting. Chromium of the system is driven by Playwright; the demonstration is ended in any case.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

import fedmq
from fedmq.hub.credentials import read_credentials
from fedmq.hub.processes import Process, end_process

PICTURE: Final = Path(__file__).with_name("queues.png")
AWAY: Final = "ico-nantes"
NODES: Final = ("chu-lyon", "ghu-paris", "ico-nantes", "umc-basel")
ROUNDS: Final = 200
"""More than the picture takes."""
TICKED: Final = ("consumers", "consumer_capacity", "msg-bytes-total")
UNTICKED: Final = ("state", "rate-incoming", "rate-deliver", "rate-ack")
BROWSER: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
TIMEOUT_S: Final = 120.0
PATIENCE_MS: Final = 60_000


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory(prefix="fedmq-picture-") as folder:
        home = Path(folder) / "demo"
        try:
            _fedmq(home, "demo", "--keep", "--rounds", "1")
            _end_node(home, AWAY)
            with fedmq.Client.from_credentials(home / "credentials.toml") as client:
                wanted = fedmq.Experiment.from_toml(home / "experiment.toml")
                run = client.submit(replace(wanted, nodes=NODES, rounds=ROUNDS))
                _wait_for_round(run)
                _take_picture(home)
                run.stop()
        finally:
            _fedmq(home, "down")


def _fedmq(home: Path, *words: str) -> None:
    environment = {**os.environ, "FEDMQ_HOME": str(home)}
    command = [sys.executable, "-m", "fedmq", *words]
    subprocess.run(command, env=environment, check=True)  # noqa: S603 - own program


def _end_node(home: Path, name: str) -> None:
    processes = json.loads((home / "processes.json").read_text())
    end_process(Process(**processes[name]))


def _wait_for_round(run: "fedmq.researcher.run.Run") -> None:
    """Return once a round has closed without the node that is away."""
    deadline = time.monotonic() + TIMEOUT_S
    while not run.report().records:
        if time.monotonic() > deadline:
            raise TimeoutError(run.report().reason)
        time.sleep(1.0)


def _take_picture(home: Path) -> None:
    login = read_credentials(home / "hub" / "credentials" / "monitor.toml")
    chromium = shutil.which("chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            args=list(BROWSER),
            # High enough that the bar at the top does not lie on the table.
            viewport={"width": 1180, "height": 1400},
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(login.admin_url)
        page.fill("input[name=username]", login.user)
        page.fill("input[name=password]", login.password)
        page.click("input[type=submit]")
        page.wait_for_selector("#main h1")
        _choose_columns(page)
        page.goto(f"{login.admin_url}/#/queues")
        page.reload()
        page.wait_for_selector(f"text=node.{AWAY}.tasks")
        page.locator("table.list").first.screenshot(path=str(PICTURE))
        context.close()


def _choose_columns(page: Page) -> None:
    """Do what the boxes under the page's `+/-` do: the browser remembers the columns."""
    for columns, choice in ((TICKED, "true"), (UNTICKED, "false")):
        for column in columns:
            page.evaluate(
                "([key, value]) => localStorage.setItem(key, value)",
                [f"rabbitmq.column-queues-{column}", choice],
            )


if __name__ == "__main__":
    main()
