"""How the opponent adapts, in a real browser: the chart, the moment when it learns, the switch and the way back."""

from __future__ import annotations

import re

import pytest

from pushjepa.planning import Advice
from pushjepa.runtime.checkpoint import resolve
from pushjepa.server import Engine

AWAY = ((60, 60), (60, 452))  # corners far from the block, to be walked to in turn


@pytest.fixture
def server(server, glider):
    """A server whose world model can be told of laws and knows what is usual for it."""
    server.stop()
    server.gate.open.clear()
    advice = Advice.of_model(resolve(None))
    server.load = lambda: Engine(glider, "glider", 7, glider.usual, advice=advice)
    server.start()
    return server


def walk(player):
    """Play a turn far from the block, and wait for the answer."""
    player.wait(phase="aim")
    turn = player.turn
    player.page.evaluate("scrollTo(0, 0)")
    player.click(*AWAY[turn // 2 % 2])
    player.page.click("#go")
    player.wait(phase="aim", turn=turn + 2)


def slow_down(player):
    """Make the agents slow, from the next turn on."""
    page = player.page
    if page.locator("#laws-open").get_attribute("aria-expanded") == "false":
        page.click("#laws-open")
    page.click('#laws-presets button:text-is("Slow agents")')
    page.click("#laws-apply")
    page.wait_for_selector("#laws-apply:disabled")
    page.click("#laws-open")


def learn(player, search="opponent=jepa&seed=3&side=p1&first=p1"):
    """A match up to the turn in which the opponent has found out about slow agents."""
    player.start(search)
    walk(player)
    slow_down(player)
    walk(player)
    walk(player)
    player.says("#moments", "Inferred new laws")


def bars(player):
    return player.page.locator("#surprise .surprise").count()


def test_it_is_seen_how_the_opponent_learns_and_is_restored(player):
    player.start("opponent=jepa&seed=3&side=p1&first=p1")
    page = player.page
    player.says("#moments", "Nothing has surprised it yet.")
    player.says("#adapt-state", "as trained")
    assert page.inner_text("#adapt-title") == "Adaptation of JEPA"
    assert page.locator("#adapt-restore").is_disabled()
    assert bars(player) == 0
    place = page.locator("#score-title").bounding_box()
    walk(player)
    assert bars(player) == 1  # it has seen how the person's turn ended
    assert page.locator("#surprise .alarm").count() == 0
    slow_down(player)
    walk(player)
    walk(player)
    player.says("#moments .infer.fresh", "surprised")
    words = page.inner_text("#moments .infer")
    assert re.fullmatch(
        r"Turn [34]: surprised \(\d+ px off\)\. Inferred new laws in \d\.\d\d s: agents 0\.\d. as fast\.", words
    )
    assert words.split(": ", 1)[1] in page.inner_text("#adapt-said")
    assert page.locator("#surprise .alarm").count() == 1
    assert page.locator("#surprise .acted").count() == 1
    assert bars(player) == 5
    assert "alarm" in page.locator("#surprise svg").get_attribute("aria-label")
    assert re.fullmatch(r"Believes in agents 0\.\d. as fast\.", page.inner_text("#believes"))
    player.says("#adapt-state", "adapted")
    page.evaluate("scrollTo(0, 0)")
    after = page.locator("#score-title").bounding_box()
    page.click("#adapt-restore")
    player.says("#adapt-state", "as trained")
    player.says("#believes", "Believes in the standard laws.")
    assert page.locator("#adapt-restore").is_disabled()
    assert bars(player) == 5  # what was noticed stays
    laws = page.locator("#laws-now").bounding_box()
    assert after["y"] - place["y"] < laws["height"] + 40  # only the laws' own card has grown
    assert len(player.sent("restore")) == 1


def test_by_keyboard_frozen_and_remembered_for_the_next_match(player):
    player.start("opponent=jepa&seed=3&side=p1&first=p1")
    page = player.page
    assert player.sent("new_match")[-1]["mode"] == "adaptive"
    page.locator("#adapt-mode input:checked").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.value") == "frozen"
    page.wait_for_function("document.querySelector('#adapt-mode input:checked').value === 'frozen'")
    assert [m["mode"] for m in player.sent("adapt")] == ["frozen"]
    walk(player)
    slow_down(player)
    for _ in range(3):
        walk(player)
    player.says("#moments .alarm", "Nothing was changed.")
    player.says("#believes", "Believes in the standard laws.")
    assert page.locator("#surprise .acted").count() == 0
    page.reload()  # the same match goes on as it was
    player.wait(phase="aim", turn="8")
    page.wait_for_selector("#adapt-mode input[value=frozen]:checked", state="attached")
    player.open("?opponent=jepa&seed=4&side=p1&first=p1")
    player.wait(phase="aim", turn="0")
    assert player.sent("new_match")[-1]["mode"] == "frozen"
    assert page.locator("#adapt-mode input[value=frozen]").is_checked()


def test_a_switch_while_the_opponent_thinks_holds_after_its_move(player, glider, gate):
    imagine = glider.rollout

    def rollout(*arguments):
        gate.entered.set()
        assert gate.open.wait(20.0)
        return imagine(*arguments)

    glider.rollout = rollout
    player.start("opponent=jepa&seed=3&side=p1&first=p1")
    player.click(*AWAY[0])
    player.page.click("#go")
    assert gate.entered.wait(20)
    player.page.click('#adapt-mode label:has-text("Frozen")')
    player.says("#adapt-state", "after this move")
    assert player.page.locator("#adapt-mode input[value=frozen]").is_checked()
    gate.open.set()
    player.wait(phase="aim", turn="2")
    player.says("#adapt-state", "as trained")
    assert player.page.locator("#adapt-mode input[value=frozen]").is_checked()
    assert player.page.locator("#notice").is_hidden()


def test_two_that_are_watched_have_a_mind_each(player):
    player.open("?p1=jepa&p2=jepa-reply&seed=3&first=p1")
    player.wait(phase="over", timeout=120)
    page = player.page
    buttons = page.locator("#adapt-sides button")
    assert [button.inner_text() for button in buttons.all()] == ["JEPA", "Deep JEPA"]
    assert [button.get_attribute("aria-pressed") for button in buttons.all()] == ["true", "false"]
    assert bars(player) == 8  # p1 plans for the last time before turn 9
    buttons.nth(1).click()
    page.wait_for_selector("#surprise[data-side=p2]")
    assert bars(player) == 9
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    page.goto(f"{player.server.url}#/replay/{player.data('match')}")
    player.wait(phase="replay")
    player.says("#adapt-none", "a replay does not show it")


def test_of_an_opponent_that_cannot_adapt_it_is_said_why(player):
    player.start("opponent=shove&seed=3&side=p1&first=p1")
    player.says("#adapt-none", "Shover has no world model that could adapt.")
    assert player.page.locator("#adapt-body").is_hidden()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_card_fits_and_can_be_read_by_all(sit_down, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    player = sit_down(viewport={"width": width, "height": 800})
    learn(player)
    assert player.page.evaluate("document.documentElement.scrollWidth") <= width
    card = player.page.locator(".adaptation").bounding_box()
    for part in player.page.locator("#adapt-body :is(button, input, svg, li, figcaption span)").all():
        box = part.bounding_box()
        assert box is None or card["x"] <= box["x"]
        assert box is None or box["x"] + box["width"] <= card["x"] + card["width"]
    found = axe.Axe().run(player.page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
