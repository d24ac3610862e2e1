"""The timeline, and what is kept with a turn: scrubbing, play, pause, loop, and searches shown again."""

from __future__ import annotations

import time


def test_scrubbing_while_the_opponent_thinks_does_not_stall_the_match(player):
    player.start("opponent=gate&seed=3&side=p1&first=p1")
    player.click(250, 256)
    player.page.click("#go")
    player.wait(phase="thinking", turn="1", k="5")
    tape = player.page.locator("#tape")
    tape.press("ArrowLeft")
    tape.press("ArrowLeft")
    player.wait(mode="scrub", k="3")
    player.says("#headline", "Looking back")
    player.server.gate.open.set()
    player.wait(turn="2", mode="scrub", k="3")
    player.page.keyboard.press("Escape")
    player.wait(mode="live", k="10", phase="aim")
    player.play_turn()
    player.wait(turn="4", phase="aim")


def test_an_aim_survives_a_look_back(player):
    player.start("opponent=passive&seed=3&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    player.click(300, 200)
    player.page.click("#step-back")
    player.wait(mode="scrub", k="5")
    player.click(100, 100)  # a click on the board goes back and sets no way-point
    player.wait(mode="live", phase="aim", aim="1")


def test_drag_keys_and_words(player):
    player.start("opponent=passive&seed=3&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    tape = player.page.locator("#tape")
    box = tape.bounding_box()
    y = box["y"] + box["height"] / 2
    player.page.mouse.move(box["x"] + box["width"] - 2, y)
    player.page.mouse.down()
    player.wait(k="10")  # no further than what was played
    player.page.mouse.move(box["x"] + box["width"] * 3 / 50, y, steps=4)
    player.wait(mode="scrub", k="3")
    player.page.mouse.up()
    assert player.page.inner_text("#where") == "T1 You · step 3 of 5"
    assert tape.get_attribute("aria-valuetext") == "T1 You · step 3 of 5"
    for key, k in (
        ("End", 10),
        ("Home", 0),
        ("PageUp", 5),
        ("ArrowRight", 6),
        ("PageDown", 5),
        ("Shift+ArrowRight", 10),
    ):
        tape.press(key)
        player.wait(k=k)
    history = player.stored()["history"]
    tape.press("ArrowLeft")
    player.wait(k="9")
    progress = player.page.locator('.score-row[data-side="p1"] .gain').inner_text()
    assert int(progress.replace("\N{MINUS SIGN}", "-")) == round(history[1]["standings"][3]["progress"]["p1"])


def test_play_pause_and_loop(player):
    player.start("opponent=passive&seed=3&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    player.page.select_option("#speed", "4")
    player.page.click("#toggle")
    player.wait(mode="scrub", k="10")
    player.page.locator('#toggle[data-state="paused"]').wait_for()
    player.page.click("#loop")
    player.page.click("#toggle")
    for _ in range(2):
        player.wait(k="5")
        player.wait(k="10")
    player.page.click("#toggle")
    player.page.locator('#toggle[data-state="paused"]').wait_for()
    player.page.click("#to-live")
    player.wait(mode="live", phase="aim")


def test_a_search_is_kept_with_its_turn(sit_down):
    player = sit_down(calm=False)
    player.start("opponent=jepa&seed=7&stage=gate&side=p1&first=p1")
    player.click(200, 270)
    player.page.click("#go")
    player.says("#thought", "JEPA imagines")
    player.wait(phase="aim", turn="2")
    plan = player.server.get(f"matches/{player.data('match')}/plans/1")
    shown = player.page.inner_text("#mind-figures")
    assert str(sum(len(iteration["costs"]) for iteration in plan["trace"])) in shown
    told = player.stored()["history"][1]["telemetry"]
    outcome = player.page.inner_text("#mind-outcome")
    assert f"{told['block_error']:.1f} px" in outcome
    player.page.reload()  # the trace is gone from the page and has to be fetched
    player.wait(phase="aim", turn="2")
    player.page.click("#rethink")
    player.says("#thought", f"round 3 of {len(plan['trace'])}")
    player.wait(mode="scrub", k="10")


def test_what_the_model_sees_is_told_for_every_turn(player):
    player.start("opponent=passive&seed=7&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    decoded = {}
    deadline = time.monotonic() + 20
    while len(decoded) < 3 and time.monotonic() < deadline:
        decoded = {
            v["turn"]: v["error"] for v in player.server.get(f"matches/{player.data('match')}/decoded")["decoded"]
        }
    for turn in (0, 1, 2):
        player.page.locator("#tape").press("Home")
        for _ in range(turn):
            player.page.locator("#tape").press("PageUp")
        player.says("#sees-figures", f"{decoded[turn]['block']:.1f} px")
