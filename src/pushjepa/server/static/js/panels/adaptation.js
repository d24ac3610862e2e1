// How the policies adapt to other laws: what surprised them, what they learned from it and believe now, and a switch.
// Always of the live match; the board may show another place.

import { $, h, px, say, SIDES } from "../dom.js";
import { beliefWords } from "../laws.js";
import { surpriseChart } from "./surprise.js";

const NOTHING = { state: "standard", threshold: 4, beliefs: [], events: [] }; // of a mind that was not told of yet

export class AdaptationPanel {
  #game;
  #side = null; // whose mind is shown
  #seen = { key: "", turn: 0 }; // the newest event that was shown of a mind
  #drawn = "";

  constructor(game) {
    this.#game = game;
    $("adapt-mode").addEventListener("change", ({ target }) => game.adapt(target.value));
    $("adapt-restore").addEventListener("click", (event) => {
      game.restore();
      if (event.detail > 0) $("board").focus({ preventScroll: true }); // after a click the keys belong to the board again
    });
  }

  update({ match, names, welcome, theatre, connected }) {
    const sides = theatre.replay ? [] : SIDES.filter((side) => offerOf(welcome, match, side)?.fixed === null);
    for (const id of ["adapt-body", "adapt-state"]) $(id).hidden = sides.length === 0;
    $("adapt-none").hidden = sides.length > 0;
    say($("adapt-title"), sides.length === 1 ? `Adaptation of ${names[sides[0]].name}` : "Adaptation");
    if (sides.length === 0) return say($("adapt-none"), theatre.replay ? "Told while a match is played; a replay does not show it." : whyNot(welcome, match));
    if (!sides.includes(this.#side)) this.#side = sides[0];
    this.#offerSides(sides, names);
    this.#steer(match, connected && match.phase !== "over");
    this.#show(match, sides.length > 1 ? names : null);
  }

  /** Whose mind is shown, where there are two. */
  #offerSides(sides, names) {
    const box = $("adapt-sides");
    box.hidden = sides.length < 2;
    const key = sides.map((side) => names[side].name).join("/");
    if (box.dataset.key !== key) {
      box.dataset.key = key;
      const buttons = sides.map((side) => h("button", { class: "button small", type: "button", "data-side": side, onclick: () => this.#turnTo(side) }, h("i", { class: "disc" }), names[side].name));
      box.replaceChildren(...buttons);
    }
    for (const button of box.children) button.setAttribute("aria-pressed", String(button.dataset.side === this.#side));
  }

  #turnTo(side) {
    this.#side = side;
    this.#game.dispatchEvent(new Event("change"));
  }

  /** The switch and the button; they hold for all minds of the match. */
  #steer(match, able) {
    const { steering, mode: usual, thinking } = this.#game;
    const minds = [...match.minds.values()];
    const mode = steering ?? minds[0]?.mode ?? usual;
    for (const field of $("adapt-mode").querySelectorAll("input")) [field.checked, field.disabled] = [field.value === mode, !able];
    const adapted = minds.some((mind) => mind.state === "adapted");
    $("adapt-restore").disabled = !able || !adapted || steering !== null;
    const state = match.minds.get(this.#side)?.state ?? "standard";
    say($("adapt-state"), steering && thinking ? "after this move" : state === "adapted" ? "adapted" : "as trained");
    $("adapt-state").dataset.state = state;
  }

  #show(match, names) {
    const mind = match.minds.get(this.#side) ?? NOTHING;
    const drawn = JSON.stringify([match.match_id, this.#side, mind]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    $("surprise").replaceChildren(surpriseChart(mind, match.turns));
    $("surprise").dataset.side = this.#side;
    say($("believes"), `Believes in ${beliefWords(mind.beliefs)}.`);
    $("believes").classList.toggle("odd", mind.beliefs.length > 0);
    this.#tellMoments(`${match.match_id}/${this.#side}`, mind.events, names ? `${names[this.#side].name}, ` : "");
  }

  /** What happened, newest first; what is new since the last time stands out and is said. */
  #tellMoments(key, events, who) {
    const since = this.#seen.key === key ? this.#seen.turn : Infinity;
    this.#seen = { key, turn: events.at(-1)?.turn ?? 0 };
    const told = events.filter((event) => event.alarm || event.act).reverse();
    const rows = told.map((event) =>
      h("li", { class: `${event.act || "alarm"}${event.turn > since ? " fresh" : ""}` }, h("b", {}, `Turn ${event.turn}: `), momentWords(event)));
    $("moments").replaceChildren(...(rows.length ? rows : [h("li", { class: "none" }, "Nothing has surprised it yet.")]));
    $("moments").scrollTop = 0;
    if (told[0]?.turn > since) say($("adapt-said"), `${who}turn ${told[0].turn}: ${momentWords(told[0])}`);
  }
}

/** What followed from a surprise, in a sentence or two. */
function momentWords({ act, alarm, px: off, ms, steps, beliefs }) {
  const seconds = `${(ms / 1000).toFixed(2)} s`;
  const surprised = alarm ? `surprised (${px(off)} off)` : "";
  if (act === "infer" && alarm) return `${surprised}. Inferred new laws in ${seconds}: ${beliefWords(beliefs)}.`;
  if (act === "infer") return `thought again for ${seconds}: ${beliefWords(beliefs)}.`;
  if (act === "look") return `${surprised ? `${surprised}; it ` : ""}saw ${beliefs.some(({ name }) => name.startsWith("block_s")) ? "another block, at which it looks in another way" : "the block that it knows"}: ${beliefWords(beliefs)}.`;
  if (act === "learn") return `${surprised || "still off"}. Learned in ${seconds}: ${steps} gradient steps on the weights of its law adapter.`;
  if (act === "rollback") return "its new laws foresaw worse, so it went back to those before.";
  if (act === "restore") return `the standard laws foresee it again, so it is back to ${beliefs.length ? "them, but for the block that it sees" : "the model as trained"}.`;
  return `${surprised}. Nothing was changed.`;
}

function offerOf(welcome, match, side) {
  return welcome?.opponents.find((offer) => offer.name === match.players[side]);
}

/** Why nobody in this match adapts. */
function whyNot(welcome, match) {
  const reasons = SIDES.map((side) => offerOf(welcome, match, side)?.fixed).filter(Boolean);
  return reasons.length ? [...new Set(reasons)].join(" ") : "Nobody in this match adapts.";
}
