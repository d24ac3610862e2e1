// Two small boards: the first round of a search, and all of it.

import { Board } from "../board.js";
import { h, SIDES } from "../dom.js";

export function figureOfSearch(match, turn) {
  const box = h("div", { class: "pair-figure" });
  const rounds = turn.trace.length;
  for (const [iterations, label] of [[0, "The first round of imagined moves"], [rounds, `All ${rounds} rounds, the last one brightest`]]) {
    const canvas = h("canvas", { role: "img", "aria-label": label });
    box.append(h("div", {}, canvas, h("p", { class: "hint small" }, label)));
    // The canvas has no size before it is on the page.
    requestAnimationFrame(() => paint(canvas, match, turn, iterations));
  }
  return box;
}

function paint(canvas, match, turn, iterations) {
  const board = new Board(canvas);
  board.fit();
  const blank = Object.fromEntries(SIDES.map((side) => [side, ""]));
  board.paint({ scene: match.scene, state: turn.from, labels: blank, badges: blank, active: null, dream: { turn, iterations, faint: false } });
}
