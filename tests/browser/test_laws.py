"""Changing the laws of physics in a real browser: the panel, the tape, and the block on the board."""

from __future__ import annotations

import json

import pytest

INK = """() => {
  const board = document.getElementById("board");
  const copy = Object.assign(document.createElement("canvas"), { width: board.width, height: board.height });
  const pen = copy.getContext("2d", { willReadFrequently: true });
  pen.drawImage(board, 0, 0);
  const { data } = pen.getImageData(0, 0, board.width, board.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] === 236 && data[i + 1] === 238 && data[i + 2] === 244) count += 1;
  }
  return count / board.width ** 2;
}"""


FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def ink(player):
    """The share of the board that the block covers, once nothing moves; a busy machine paints late."""
    seen = [0.0]
    for _ in range(100):
        seen.append(player.page.evaluate(INK))
        if seen[-1] and seen[-1] == seen[-2]:
            break
        player.page.wait_for_timeout(100)
    return seen[-1]


def painted(player, wanted):
    """Wait until the block covers the share ``wanted`` of the board, give or take 6%."""
    for _ in range(100):
        if ink(player) == pytest.approx(wanted, rel=0.06):
            return
        player.page.wait_for_timeout(100)
    pytest.fail(f"the block covers {ink(player):.4f} of the board, not {wanted:.4f}")


def change(player, preset):
    """Choose a preset and apply it; gives the turns at which the laws of the match change from now on."""
    sent = len(player.sent("change_physics"))
    player.page.click(f'#laws-presets button:text-is("{preset}")')
    player.page.click("#laws-apply")
    player.page.wait_for_selector("#laws-apply:disabled")
    player.page.evaluate(FRAMES)  # what the page tells of itself, it tells once in a frame
    assert len(player.sent("change_physics")) == sent + 1
    return json.loads(player.data("changes"))


def play_under(player, preset, turn):
    """Change the laws and play on, until it is one's turn again after ``turn`` turns."""
    change(player, preset)
    player.page.evaluate("scrollTo(0, 0)")
    player.play_turn()
    player.wait(phase="aim", turn=turn)


def test_twenty_changes_in_one_match(player):
    player.start("opponent=random&seed=5&stage=pillars&side=p1&first=p1")
    page = player.page
    page.click("#laws-open")
    for turn in (0, 2, 4, 6, 8):
        player.wait(phase="aim", turn=turn)
        for preset in ("Heavy block", "Giant block" if turn % 4 else "Tiny block"):
            assert change(player, preset)[-1] == turn
        page.locator("#law-damping").press("End")
        page.locator("#law-agent_force").press("ArrowLeft")
        page.locator("#laws-shapes label").nth(1 + turn // 2 % 2).click()
        page.click("#laws-apply")
        page.wait_for_selector("#laws-apply:disabled")
        if turn < 8:
            change(player, "Ice")
        else:
            page.click("#laws-standard")
            page.wait_for_selector("#laws-standard:disabled")
        page.evaluate("scrollTo(0, 0)")  # the panel is longer than the window
        player.play_turn()
        assert page.locator("#notice").is_hidden()
    player.wait(phase="over")
    assert len(player.sent("change_physics")) == 20
    player.same_end()
    stored = player.stored()
    assert [c["turn"] for c in stored["changes"]] == [0, 8]  # ice stayed ice from the first to the eighth turn
    assert page.locator("#tape .law-mark").count() == 2
    assert page.locator('#tape .leg[data-laws="other"]').count() == 8


def test_the_block_changes_on_the_board_at_its_turn_and_back_when_one_looks_back(player):
    player.start("opponent=passive&seed=3&side=p1&first=p1")
    page, before = player.page, ink(player)
    player.play_turn()
    player.wait(phase="aim", turn="2")
    page.click("#laws-open")
    assert change(player, "Giant block") == [2]
    painted(player, 1.6**2 * before)
    assert page.inner_text("#laws-now") == "Block size 160%"
    page.evaluate("scrollTo(0, 0)")
    player.play_turn()
    player.wait(phase="aim", turn="4")
    tape = page.locator("#tape")
    for keys, k, giant in ((["Home"], 0, False), (["PageUp", "ArrowRight"], 6, False), (["PageUp"], 10, True)):
        for key in keys:
            tape.press(key)
        player.wait(k=k)
        painted(player, (1.6**2 if giant else 1.0) * before)
        assert page.inner_text("#laws-now") == ("Block size 160%" if giant else "Standard")
        assert ("Giant block" in page.inner_text("#where")) == giant
    tape.press("Home")
    player.says("#laws-told", "From turn 3: Giant block.")
    assert page.locator('#tape .leg[data-laws="other"]').count() == 8
    # And so in a replay, where nothing can be changed.
    page.goto(f"{player.server.url}#/replay/{player.data('match')}")
    player.wait(phase="replay", k="20")
    assert page.locator("#laws-open").is_hidden()
    assert page.locator("#tape .law-mark").get_attribute("title") == "From turn 3: Giant block"
    tape.press("Home")
    player.wait(k="0")
    painted(player, before)


def test_by_keyboard_while_the_opponent_thinks(player):
    """The turn that is being planned keeps its laws; the next one has the new."""
    player.start("opponent=gate&seed=3&side=p1&first=p1")
    keys = player.page.keyboard
    player.page.locator("#laws-open").press("Enter")
    assert player.page.locator("#laws-open").get_attribute("aria-expanded") == "true"
    player.click(250, 256)
    player.page.click("#go")
    player.wait(phase="thinking", turn="1")
    assert player.page.inner_text("#laws-apply") == "Apply from turn 3"
    player.page.locator("#law-block_mass").focus()
    keys.press("End")
    assert (
        player.page.locator("#law-block_mass").get_attribute("aria-valuetext") == "20 \N{MULTIPLICATION SIGN} an agent"
    )
    player.page.locator("#laws-apply").press("Enter")
    player.says("#laws-told", "From turn 3: Block weight 20")
    assert player.page.inner_text("#laws-now") == "Standard"
    player.server.gate.open.set()
    player.wait(phase="aim", turn="2")
    player.says("#laws-now", "Block weight 20")
    assert [turn["physics"]["block_mass"] for turn in player.stored()["history"]] == [1.0, 1.0]
    assert player.stored()["laws"]["now"]["block_mass"] == 20.0


def test_a_change_that_is_refused_is_told_and_nothing_is_lost(player):
    def forward(route):
        real = route.connect_to_server()

        def tamper(text):
            message = json.loads(text)
            if message["type"] == "change_physics":
                message["physics"]["block_mass"] = 99.0
            real.send(json.dumps(message))

        route.on_message(tamper)

    player.page.route_web_socket("**/ws", forward)
    player.start("opponent=passive&seed=2&side=p1&first=p1")
    player.click(200, 256)
    player.page.click("#laws-open")
    player.page.click('#laws-presets button:text-is("Ice")')
    player.page.click("#laws-apply")
    player.says("#notice", "Physics block_mass must lie in [0.1, 20], got 99")
    player.wait(phase="aim", aim="1", turn="0", changes="[]")
    player.page.click("#go")
    player.wait(phase="aim", turn="2")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_open_panel_fits_and_can_be_read_by_all(sit_down, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    player = sit_down(viewport={"width": width, "height": 800})
    player.start("opponent=passive&seed=7&side=p1&first=p1")
    player.page.click("#laws-open")
    change(player, "Strong agents")
    player.page.click('#laws-presets button:text-is("Ice")')
    assert player.page.evaluate("document.documentElement.scrollWidth") <= width
    card = player.page.locator(".laws").bounding_box()
    for part in player.page.locator("#laws-body :is(button, input, output, label)").all():
        box = part.bounding_box()
        assert card["x"] <= box["x"]
        assert box["x"] + box["width"] <= card["x"] + card["width"]
    found = axe.Axe().run(player.page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_the_jepa_sees_another_block_and_the_known_one_again(player):
    """The bundled model: its mind looks at the block that it is shown, before it is surprised by anything."""
    player.start("opponent=jepa&seed=3&side=p1&first=p1")
    player.says("#adapt-state", "as trained")
    player.page.click("#laws-open")
    play_under(player, "Giant block", turn="2")
    player.says("#moments", "saw another block, at which it looks in another way")
    player.says("#believes", "as large")
    player.says("#adapt-state", "adapted")
    play_under(player, "Standard", turn="4")
    player.says("#moments", "saw the block that it knows")
    player.says("#adapt-state", "as trained")
