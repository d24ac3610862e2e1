"""Quality of the page itself: accessibility, sizes, motion, speed, and figures that come from the server."""

from __future__ import annotations

import re

import pytest

WIDTHS = (360, 768, 1280, 1920)
PAGES = {"board": "#/", "matches": "#/matches", "how": "#/how"}


def ready(player, view):
    """Wait for a page's content."""
    player.wait(view=view)
    if view == "matches":
        player.page.locator(".match-row").first.wait_for()
    if view == "how":
        player.page.locator("#how details").wait_for()


def violations(player):
    """What axe-core finds serious or worse, contrast (AA) included."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    player.page.evaluate("Promise.allSettled(document.getAnimations().map((a) => a.finish()))")
    found = axe.Axe().run(player.page).response["violations"]
    return [
        f"{v['id']}: {node['target']} {node['failureSummary']}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


def test_no_serious_accessibility_violation_on_the_board(player):
    player.start("opponent=jepa&seed=7&side=p1&first=p1")
    assert violations(player) == []
    player.click(250, 256)
    player.wait(aim="1")
    assert violations(player) == []
    player.page.click("#go")
    player.wait(phase="aim", turn="2")
    assert violations(player) == []
    player.page.locator("#tape").press("ArrowLeft")
    player.wait(mode="scrub")
    assert violations(player) == []
    player.page.click("#open-setup")
    assert violations(player) == []
    player.page.locator("#setup .segments label").nth(1).click()
    assert violations(player) == []


@pytest.mark.parametrize("view", ["matches", "how"])
def test_no_serious_accessibility_violation_elsewhere(player, view):
    player.start("opponent=passive&seed=7&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    player.page.goto(f"{player.server.url}#/{view}")
    ready(player, view)
    assert violations(player) == []


def test_the_colours_of_the_canvas_stand_out(player):
    """WCAG AA for what is written on the board, which no checker of documents can see."""
    player.open()
    found = player.page.evaluate("import('./js/colours.js').then(({ COLOURS }) => COLOURS)")

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            w * (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4)
            for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    def contrast(one, two):
        high, low = sorted((luminance(found[one]), luminance(found[two])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for side in ("p1", "p2"):
        assert contrast(side, "floor") > 4.5
        assert contrast(side, "dark") > 4.5
    assert contrast("block", "floor") > 4.5


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(sit_down, width):
    player = sit_down(viewport={"width": width, "height": 800})
    player.start("opponent=jepa&seed=7&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    for view, address in PAGES.items():
        player.page.goto(f"{player.server.url}{address}")
        ready(player, "play" if view == "board" else view)
        room = player.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert room[0] <= room[1], f"{view} is {room[0]} px wide in a window of {room[1]}"
    player.page.click("#open-setup")
    box = player.page.locator("#setup").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def places_of_two_turns(player, opponent):
    """Every place that the board shows while a person and the opponent have a turn each."""
    player.start(f"opponent={opponent}&seed=7&side=p1&first=p1")
    player.page.evaluate(
        """() => {
          window.places = [];
          new MutationObserver(() => places.push(Number(document.body.dataset.k)))
            .observe(document.body, { attributes: true, attributeFilter: ["data-k"] });
        }"""
    )
    player.play_turn()
    player.wait(phase="aim", turn="2")
    return player.page.evaluate("places")


def test_reduced_motion_is_respected(sit_down):
    player = sit_down(calm=True)
    places = places_of_two_turns(player, "jepa")
    assert places
    assert all(k % 5 == 0 for k in places), "a turn is shown at once, not step by step"
    assert player.page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("ms", [0.5, 3.0, 16.0])
def test_with_reduced_motion_no_moment_falls_within_a_turn(player, ms):
    """However little time a frame has left when the turn begins."""
    player.open()
    k = player.page.evaluate(
        """async (ms) => {
          const { Playhead } = await import("./js/playhead.js");
          const calm = { dreams: false, calm: true };
          return new Playhead().advance({ length: 10, history: [{}, {}] }, ms, calm);
        }""",
        ms,
    )
    assert k == 5


def test_motion_is_shown_where_it_is_welcome(sit_down):
    assert any(k % 1 for k in places_of_two_turns(sit_down(calm=False), "passive"))


def test_the_board_is_painted_within_a_second(player):
    player.start("opponent=passive&seed=7")
    player.page.reload()  # the first visit of a browser also pays for its own start
    player.wait(phase="aim")
    painted = player.page.evaluate("performance.getEntriesByName('first-board')[0].startTime")
    assert painted < 1000


def test_no_frame_of_a_turn_takes_over_50_ms(sit_down):
    player = sit_down(calm=False)
    player.start("opponent=jepa&seed=7&side=p1&first=p1")
    player.page.evaluate(
        """() => {
          window.turns = [];
          let before = 0;
          const look = (ms) => {
            requestAnimationFrame(look);
            const k = Number(document.body.dataset.k);
            const moving = k % 5 !== 0 || !document.getElementById("thought").hidden;
            const turn = Math.floor(k / 5);
            if (moving && before) (turns[turn] ??= []).push(ms - before);
            before = moving ? ms : 0;
          };
          requestAnimationFrame(look);
        }"""
    )
    for turn in (2, 4, 6):
        player.play_turn()
        player.wait(phase="aim", turn=turn)
    recorded = [turn for turn in player.page.evaluate("turns") if turn and len(turn) > 20]
    assert recorded
    # The quickest of the turns: a neighbour on this machine may hold any one of them up, a slow page slows them all.
    assert min(max(turn) for turn in recorded) <= 50


def test_how_it_works_tells_the_model_s_own_figures(player):
    player.start("opponent=jepa&seed=7&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    player.page.click("text=How it works")
    ready(player, "how")
    words = re.sub(r"\s+", " ", player.page.inner_text("#how"))
    card = player.server.get("model")
    for part in card["parts"]:
        assert f"{part['parameters']:,}" in words
    assert f"{card['frame_size']} \N{MULTIPLICATION SIGN} {card['frame_size']}" in words
    assert f"{card['measured']['turn_block_px']:.1f} px" in words
    assert f"{card['measured']['push_ratio']:.2f}" in words
    plan = player.server.get(f"matches/{player.data('match')}/plans/1")
    assert f"{len(plan['trace'][0]['costs'])} moves in each of {len(plan['trace'])} rounds" in words
    source = player.page.request.get(f"{player.server.url}js/pages/how.js").text()
    assert f"{card['parameters']:,}" not in source, "figures come from the server"


def test_turns_are_told_to_those_who_listen(player):
    player.start("opponent=passive&seed=7&side=p1&first=p1")
    assert player.page.locator("#announcer").get_attribute("aria-live") == "polite"
    player.play_turn()
    player.wait(phase="aim", turn="2")
    player.says("#announcer", "Your move")
