// What to call the players of a match.

import { other, SIDES } from "./dom.js";

/** A policy as the server calls it, for people. */
export function titleOf(welcome, name) {
  return welcome?.opponents.find((offer) => offer.name === name)?.title ?? name;
}

/** { p1, p2 }: each with `name` (You, JEPA …), `badge` for the disc and `goal` for the board. */
export function namesOf(match, welcome) {
  const named = SIDES.map((side) => {
    const player = match.players[side];
    if (player === "human") return [side, { name: "You", badge: "YOU", goal: "YOUR GOAL" }];
    const title = titleOf(welcome, player);
    return [side, { name: title, badge: "", goal: `${title.toUpperCase()}’S GOAL` }];
  });
  const names = Object.fromEntries(named);
  if (names.p1.name === names.p2.name) for (const side of SIDES) tellApart(names[side], side);
  return names;
}

/** A policy that plays against itself goes by its colour. */
function tellApart(named, side) {
  const colour = side === "p1" ? "amber" : "cyan";
  named.name = `${named.name} ${colour}`;
  named.goal = `${colour.toUpperCase()}’S GOAL`;
}

export const opposite = (match) => (match.human ? other(match.human) : null);
