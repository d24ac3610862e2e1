"""Whole matches in a real browser: by mouse, by keyboard, by touch; undo, rematch, and GO at the wrong time."""

from __future__ import annotations

import json

import pytest


def test_a_whole_match_by_mouse(sit_down):
    player = sit_down(calm=False)
    player.start("opponent=shove&seed=3&side=p1&first=p1")
    player.play_out()
    stored = player.stored()
    assert stored["result"] is not None
    won = stored["result"]["winner"] == "p1"
    assert player.page.inner_text("#result-title") == ("You win" if won else "Shover wins")
    assert player.page.locator("#past tbody tr").count() == 10
    player.same_end()


def test_hovering_shows_the_next_leg_before_it_is_set(player):
    player.start("opponent=passive&seed=3")
    before = player.page.locator("#board").screenshot()
    player.page.mouse.move(*player.point(250, 250))
    player.page.wait_for_timeout(100)
    assert player.page.locator("#board").screenshot() != before
    assert player.data("aim") == "0"


def test_a_whole_match_by_keyboard_alone(player):
    keys = player.page.keyboard
    player.open("?opponent=chase_t&seed=4&side=p1&first=p1")
    player.wait(phase="aim")
    keys.press("Tab")
    keys.press("Enter")  # the link that skips to the board
    keys.press("Tab")
    keys.press("Shift+Tab")
    assert player.page.evaluate("document.activeElement.id") == "board"
    for _ in range(5):
        player.wait(phase="aim")
        turn = player.turn
        keys.press("Shift+ArrowRight")
        keys.press("Shift+ArrowRight")
        keys.press("ArrowUp")
        keys.press("Space")
        keys.press("Shift+ArrowRight")
        keys.press("Space")
        player.wait(aim="2")
        keys.press("Backspace")
        player.wait(aim="1")
        keys.press("Enter")
        player.wait(not_turn=turn)
    player.wait(phase="over")
    player.same_end()
    keys.press("Enter")  # the rematch, from the other side
    player.wait(human="p2", phase="aim")


@pytest.mark.parametrize(
    ("key", "dx", "dy"),
    [
        ("ArrowLeft", -8, 0),
        ("ArrowRight", 8, 0),
        ("ArrowUp", 0, -8),
        ("ArrowDown", 0, 8),
        ("Shift+ArrowLeft", -32, 0),
        ("Shift+ArrowDown", 0, 32),
    ],
)
def test_an_arrow_key_moves_the_cross_hair_its_way(player, key, dx, dy):
    player.start("opponent=passive&seed=2&side=p1&first=p1")
    player.click(120, 240)
    player.wait(aim="1")
    board = player.page.locator("#board")
    box = board.bounding_box()
    player.page.mouse.move(box["x"] - 5, box["y"])  # a mouse over the board would point too
    for press in (key, "Space"):
        board.press(press)
    player.wait(aim="2")
    player.page.click("#go")
    player.wait(turn="2", phase="aim")
    (sent,) = player.sent("human_turn")
    assert sent["waypoints"] == [[120, 240], [120 + dx, 240 + dy]]


def test_a_whole_match_on_a_phone(sit_down):
    player = sit_down(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True, device_scale_factor=2)
    player.start("opponent=random&seed=5&side=p2&first=p2")
    assert "Tap" in player.page.inner_text("#hint")
    go = player.page.locator("#go").bounding_box()
    assert go is not None
    assert go["y"] + go["height"] <= 640, "GO has to be in sight without scrolling"
    assert go["height"] >= 44
    player.play_out(by=player.tap)
    assert player.page.locator("#result").is_visible()
    player.same_end()


def test_undo_takes_back_one_way_point_and_escape_all(player):
    player.start("opponent=passive&seed=1")
    for x in (150, 200, 250, 300):
        player.click(x, 250)
    player.wait(aim="3")  # the fourth is one too many
    player.page.click("#undo")
    player.wait(aim="2")
    player.page.keyboard.press("Control+z")
    player.wait(aim="1")
    player.page.keyboard.press("Escape")
    player.wait(aim="0")
    assert player.page.locator("#go").is_disabled()
    assert player.turn == 0


def test_a_rematch_swaps_the_sides_of_the_same_start(player):
    player.start("opponent=random&seed=6&stage=pillars&side=p1&first=p1")
    player.play_out()
    first = player.stored()
    player.page.click("#go")
    player.wait(not_match=first["match_id"])
    player.wait(phase="aim")
    second = player.stored()
    assert (second["seed"], second["stage"], second["first"]) == (6, "pillars", "p1")
    assert second["start"] == first["start"]
    assert (first["human"], second["human"]) == ("p1", "p2")


def test_a_double_go_is_played_once(player):
    player.start("opponent=gate&seed=2&side=p1&first=p1")
    player.click(200, 256)
    player.page.evaluate("for (let i = 0; i < 3; i += 1) document.getElementById('go').click()")
    player.page.keyboard.press("Enter")
    player.wait(turn="1", phase="thinking")
    player.page.keyboard.press("Enter")
    assert [message["turn"] for message in player.sent("human_turn")] == [0]
    assert player.page.locator("#notice").is_hidden()


@pytest.mark.parametrize("turn", [1, 7])
def test_go_for_another_turn_is_refused_and_the_aim_is_kept(player, turn):
    def forward(route):
        real = route.connect_to_server()

        def tamper(text):
            message = json.loads(text)
            real.send(json.dumps({**message, "turn": turn} if message["type"] == "human_turn" else message))

        route.on_message(tamper)

    player.page.route_web_socket("**/ws", forward)
    player.start("opponent=passive&seed=2&side=p1&first=p1")
    player.click(200, 256)
    player.page.click("#go")
    player.says("#notice", f"Turn {turn} is not to be played")
    player.wait(phase="aim", aim="1", turn="0")
    player.page.click("#notice-close")
    assert player.page.locator("#notice").is_hidden()


def test_two_tabs_follow_one_match(sit_down):
    one, two = sit_down(), sit_down()
    one.start("opponent=passive&seed=8&side=p1&first=p1")
    two.open(page="#/matches")
    two.page.locator(f'[data-id="{one.data("match")}"] button', has_text="Continue").click()
    two.wait(match=one.data("match"), phase="aim")
    two.click(200, 256)
    two.wait(aim="1")
    one.play_turn()
    two.wait(turn="2", phase="aim", aim="0")
    two.play_turn()
    one.wait(turn="4", phase="aim")
    assert one.data("end") == two.data("end")
