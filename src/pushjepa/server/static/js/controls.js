// Buttons and keys: what a person can do, and what it does.

import { $, other, say } from "./dom.js";
import { saveGif, share } from "./panels/about.js";
import { STEPS } from "./match.js";
import { visit } from "./router.js";

export class Controls {
  #game;
  #theatre;
  #aim;
  #setup;
  #start;

  constructor({ game, theatre, aim, timeline, setup, start }) {
    [this.#game, this.#theatre, this.#aim, this.#setup, this.#start] = [game, theatre, aim, setup, start];
    timeline.addEventListener("scrub", ({ detail }) => theatre.scrub(detail));
    this.#aiming(aim);
    this.#transport(theatre);
    this.#button("go", () => this.#primary());
    this.#button("undo", () => aim.undo());
    this.#button("clear", () => this.#second());
    $("open-setup").addEventListener("click", () => setup.open());
    $("banner-back").addEventListener("click", () => visit("#/"));
    $("share").addEventListener("click", () => share(theatre.match));
    $("gif").addEventListener("click", () => saveGif(theatre.match));
    document.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** A button of the turn card. After a click by mouse or finger the keys belong to the board again. */
  #button(id, action) {
    $(id).addEventListener("click", (event) => {
      action();
      if (event.detail > 0) $("board").focus({ preventScroll: true });
    });
  }

  #aiming(aim) {
    aim.addEventListener("press", () => this.#theatre.toLive());
    aim.addEventListener("full", () => say($("announcer"), "Three way-points are all there are."));
    aim.addEventListener("placed", () => {
      const [x, y] = aim.waypoints.at(-1);
      say($("announcer"), `Way-point ${aim.waypoints.length} at ${x}, ${y}.`);
    });
  }

  #transport(theatre) {
    const turn = () => Math.floor(theatre.place.k / STEPS);
    $("toggle").addEventListener("click", () => theatre.toggle());
    $("step-back").addEventListener("click", () => theatre.scrub(STEPS * (Math.ceil(theatre.place.k / STEPS) - 1)));
    $("step-on").addEventListener("click", () => theatre.scrub(STEPS * (turn() + 1)));
    $("to-live").addEventListener("click", () => this.#leave());
    $("loop").addEventListener("click", () => {
      theatre.loop = !theatre.loop;
      $("loop").setAttribute("aria-pressed", String(theatre.loop));
    });
    $("speed").addEventListener("change", () => (theatre.speed = Number($("speed").value)));
    $("dreams").addEventListener("change", () => (theatre.dreams = $("dreams").checked));
    $("rethink").addEventListener("click", () => theatre.rethink(this.#thought()));
  }

  /** The turn whose plan the panel shows. */
  #thought() {
    const { match, place } = this.#theatre;
    const at = place.dream === null ? Math.ceil(place.k / STEPS) - 1 : Math.floor(place.k / STEPS);
    return match.history.slice(0, at + 1).findLast((turn) => turn.plan);
  }

  /** Bring the buttons of the transport in line with the page. */
  update({ theatre, match }) {
    const { running } = theatre;
    $("toggle").dataset.state = running ? "playing" : "paused";
    $("toggle").setAttribute("aria-label", running ? "Pause" : "Play");
    $("toggle").disabled = match.length === 0 && !match.spectated;
    for (const id of ["step-back", "step-on"]) $(id).disabled = match.length === 0;
    $("to-live").disabled = !theatre.scrubbing;
    $("to-live").hidden = theatre.replay;
    $("dreams").checked = theatre.dreams;
  }

  #primary() {
    const { match, replay, scrubbing, behind } = this.#theatre;
    if (!match) return;
    if (replay) this.#start(sameStart(match));
    else if (scrubbing) this.#theatre.toLive();
    else if (match.phase === "over" && !behind) this.#start(swapped(match));
    else if (this.#game.stuck) this.#game.askAgain();
    else if (match.spectated) this.#theatre.toggle();
    else this.#go();
  }

  #go() {
    const aim = this.#aim;
    if (aim.enabled && aim.waypoints.length > 0) this.#game.play(aim.waypoints);
  }

  #second() {
    const { match, replay, behind } = this.#theatre;
    if (replay) this.#leave();
    else if (match.phase === "over" && !behind) this.#start(this.#setup.choice());
    else this.#aim.clear();
  }

  /** From a replay to the person's own match, from a look back to now. */
  #leave() {
    if (this.#theatre.replay) visit("#/");
    else this.#theatre.toLive();
  }

  #onKey(event) {
    if (document.querySelector("dialog[open]") || document.body.dataset.view !== "play") return;
    const busy = event.target.closest("button, a, input, select, summary");
    if (event.key === "Escape") {
      if (this.#theatre.scrubbing) this.#leave();
      else this.#aim.clear();
    } else if (event.key === "Enter" && !busy && !event.repeat) this.#primary();
    else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.target.closest("input")) this.#aim.undo();
    else return;
    event.preventDefault();
  }
}

/** The same start with the players' seats swapped, so that both had the same chances. */
function swapped(match) {
  const { stage, seed, first, physics, players } = match;
  if (match.spectated) return { stage, seed, first, physics, players: { p1: players.p2, p2: players.p1 } };
  return { stage, seed, first, physics, opponent: match.opponent, side: other(match.human) };
}

/** The start of a match that was replayed, to be played by the person. */
function sameStart(match) {
  const { stage, seed, first, physics, players } = match;
  const side = match.human ?? "p1";
  return { stage, seed, first, physics, side, opponent: players[other(side)] };
}
