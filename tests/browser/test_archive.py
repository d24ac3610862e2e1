"""Past matches, replays, files, links, and watching two policies play."""

from __future__ import annotations

import json

import pytest


def test_a_stored_match_replays_to_the_same_end(server, player):
    stored = server.play()
    player.open(page="#/matches")
    player.page.locator(f'[data-id="{stored["match_id"]}"]').get_by_text("Replay").click()
    player.wait(phase="replay", match=stored["match_id"])
    player.page.locator("#tape").press("End")
    player.wait(k="50")
    assert player.page.evaluate("JSON.parse(document.body.dataset.end)") == stored["state"]
    assert player.page.locator("#result").is_visible()
    player.page.keyboard.press("Escape")  # back to this tab's own match
    player.wait(not_match=stored["match_id"], mode="live", phase="aim")


def test_totals_and_list(server, player):
    results = [server.play(seed=seed)["result"]["winner"] for seed in (1, 2)]
    last = server.play("passive", seed=3)
    player.open(page="#/matches")
    player.says(".total", f"{results.count('p1')}\N{EN DASH}{results.count('p2')}")
    won, drawn = last["result"]["winner"] == "p1", last["result"]["winner"] is None
    player.says(f'[data-id="{last["match_id"]}"]', "You won" if won else "You lost" if not drawn else "A draw")


def take_home(player, match_id, button, path):
    """Open a stored match and save what ``button`` gives to ``path``."""
    player.open(page=f"#/replay/{match_id}")
    player.wait(phase="replay")
    with player.page.expect_download() as going:
        player.page.click(button)
    going.value.save_as(path)
    return path


def test_a_match_goes_out_as_a_file_and_comes_back(server, player, tmp_path):
    stored = server.play()
    path = take_home(player, stored["match_id"], "#download", tmp_path / "match.json")
    player.page.click("text=Matches")
    player.page.set_input_files("#upload", path)
    player.wait(phase="replay", view="play", not_match=stored["match_id"])
    player.says("#banner", "from a file")
    assert player.page.evaluate("JSON.parse(document.body.dataset.end)") == stored["state"]


def test_a_match_goes_out_as_an_animation(server, player, tmp_path):
    path = take_home(player, server.play()["match_id"], "#gif", tmp_path / "match.gif")
    assert path.read_bytes()[:6] == b"GIF89a"
    player.says("#share-told", "Saved")


def spoil_version(file):
    return {**file, "version": 99}


def spoil_move(file):
    file["turns"][0]["block"][0] = [7.0, 0.0]
    return file


def spoil_end(file):
    file["turns"][0]["states"][-1][4] += 1.0
    return file


def spoil_kind(file):
    return {"hello": file["match_id"]}


def spoil_all(_):
    return "no JSON"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_version, "version"),
        (spoil_move, "turn 0 is an impossible move"),
        (spoil_end, "turn 0"),
        (spoil_kind, "no PushJEPA match"),
        (spoil_all, "not JSON"),
    ],
)
def test_a_bad_file_is_told_and_nothing_is_lost(player, tmp_path, spoil, words):
    player.start("opponent=passive&seed=5&side=p1&first=p1")
    player.play_turn()
    player.wait(phase="aim", turn="2")
    match = player.data("match")
    spoiled = spoil(player.server.get(f"matches/{match}"))
    path = tmp_path / "bad.json"
    path.write_text(spoiled if isinstance(spoiled, str) else json.dumps(spoiled))
    player.expected.append("the server responded with a status of 400")
    player.page.click("text=Matches")
    player.page.set_input_files("#upload", path)
    player.says("#matches-notice", "cannot be replayed")
    player.says("#matches-notice", words)
    player.page.click(".nav >> text=Play")
    player.wait(match=match, turn="2", phase="aim")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("stage=moon", "no stage “moon”"),
        ("opponent=deep-blue", "no opponent “deep-blue”"),
        ("side=p3", "no side “p3”"),
        ("seed=-4", "“-4” is not a seed"),
        ("seed=1e3", "“1e3” is not a seed"),
        ("seed=99999999999999999999", "is not a seed"),
        ("p1=shove", "leaves out one player"),
        ("p1=shove&p2=random&opponent=jepa", "two players and an opponent"),
        ("opponent=%3Cscript%3Ealert(1)%3C/script%3E", "no opponent “<script>"),
    ],
)
def test_a_bad_link_is_told_and_the_match_stays(player, search, words):
    player.start("opponent=passive&seed=5&side=p1&first=p1")
    match = player.data("match")
    player.open(f"?{search}")
    player.says("#notice", words)
    player.wait(match=match, phase="aim")


def test_a_link_leads_to_the_same_start(player, sit_down):
    player.start("opponent=chase_t&seed=41&stage=gate&side=p2&first=p2")
    player.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    player.page.click("#share")
    player.says("#share-told", "Copied")
    link = player.page.evaluate("navigator.clipboard.readText()")
    friend = sit_down()
    friend.page.goto(link)
    friend.wait(phase="aim", human="p2")
    assert friend.stored()["start"] == player.stored()["start"]
    assert friend.page.url.split("?")[-1] == friend.page.url, "a reload must not start another match"
    match = friend.data("match")
    friend.page.reload()
    friend.wait(phase="aim", match=match)


def test_a_replay_that_does_not_exist(player):
    player.start("opponent=passive&seed=5&side=p1&first=p1")
    match = player.data("match")
    player.expected.append("the server responded with a status of 404")
    player.open(page="#/replay/nonsense")
    player.says("#notice", "no match")
    player.wait(match=match, phase="aim")


def test_watching_two_policies(player):
    player.open("?p1=jepa&p2=shove&seed=2")
    player.wait(human="")
    player.wait(not_turn="0")
    player.page.click("#toggle")
    player.says("#headline", "Paused")
    held = player.turn
    player.page.wait_for_timeout(700)
    assert player.turn <= held + 1, "a paused match thinks no further than the turn that was under way"
    player.page.select_option("#speed", "4")
    player.page.click("#toggle")
    player.wait(phase="over", timeout=40)
    assert player.stored()["players"] == {"p1": "jepa", "p2": "shove"}
    player.same_end()
    player.page.click("#go")  # sides swapped
    player.wait(not_phase="over")
    assert player.stored()["players"] == {"p1": "shove", "p2": "jepa"}
