// The turns so far, one row each; a row leads to its turn.

import { $, duration, h, px, ratio, signed } from "../dom.js";
import { STEPS } from "../match.js";

let shown = "";

/** List the turns up to `count`; `visit(k)` is called with the place that a row stands for. */
export function showPast(match, count, names, visit) {
  const key = `${match.match_id}/${count}/${names.p1.name}/${names.p2.name}`;
  if (key === shown) return;
  shown = key;
  $("past-empty").hidden = count > 0;
  $("past").hidden = count === 0;
  const head = ["", "Who", "Pushed", "Thought", "Block off", "Push"].map((words) => h("th", { scope: "col" }, words || h("span", { class: "sr" }, "Turn")));
  const rows = match.history.slice(0, count).map((turn) => rowOf(match, turn, names, visit));
  $("past").replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows.reverse())));
}

function rowOf(match, turn, names, visit) {
  const { telemetry, side } = turn;
  const gained = gainOf(match, turn);
  const cell = (words) => h("td", {}, words);
  return h("tr", { "data-side": side, "data-turn": turn.turn },
    h("td", {}, h("button", { type: "button", class: "turn-link", "aria-label": `Show turn ${turn.turn + 1}`, onclick: () => visit(STEPS * (turn.turn + 1)) }, String(turn.turn + 1))),
    h("td", { class: "who" }, h("i", { class: "disc" }), names[side].name),
    cell(signed(gained)),
    cell(telemetry.ms === null ? "–" : duration(telemetry.ms)),
    cell(telemetry.block_error === null ? "–" : px(telemetry.block_error)),
    cell(telemetry.push_ratio === null ? "–" : ratio(telemetry.push_ratio)));
}

/** How much nearer the block came to the goal of the side that acted, px. */
export function gainOf(match, { side, from, states }) {
  return match.distances(from)[side] - match.distances(states.at(-1))[side];
}

/** Mark the row of the turn that the board shows. */
export function markPast(turn) {
  for (const row of $("past").querySelectorAll("tr[data-turn]")) {
    const here = Number(row.dataset.turn) === turn;
    if (here !== row.hasAttribute("aria-current")) here ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
  }
}
