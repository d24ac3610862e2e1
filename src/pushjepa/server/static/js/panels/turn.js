// The card that says what is to be done now, its buttons, and what the board says above itself.

import { $, other, px, say, SIDES } from "../dom.js";
import { STEPS } from "../match.js";
import { gainOf } from "./past.js";

/** Words for the card, from the state of the page. */
export function turnWords(page) {
  const { match, names, connected, theatre } = page;
  const turns = Math.min(match.turns, Math.floor(theatre.liveAt / STEPS) + 1);
  const count = page.over ? `All ${match.turns} turns played` : `Turn ${turns} of ${match.turns}`;
  if (theatre.replay) return { count: "Replay", headline: "A match again", hint: "Drag the timeline, or press play. Every step is played by the same physics." };
  if (!connected) return { count, headline: "Connection lost", hint: "Your match is safe. Trying to come back to it." };
  if (theatre.scrubbing) return { count, headline: "Looking back", hint: lookingBack(page) };
  if (page.over) return { count, ...overWords(page) };
  if (page.stuck) return { count, headline: `${page.mover.name} is stuck`, hint: "The match is safe; ask again." };
  if (match.spectated) return { count, ...watchWords(page) };
  if (page.mine) return { count, ...aimWords(page) };
  if (page.dreaming) return { count, headline: `${page.mover.name} imagines`, hint: "Each line is a move it tries out: dark ones look dear, bright ones cheap." };
  if (page.thinking && !theatre.behind) return { count, headline: `${page.mover.name} is thinking`, hint: thinkingHint(page) };
  return { count, headline: theatre.behind ? "Watch" : "One moment", hint: "The physics has the last word." };
}

function lookingBack({ match, theatre }) {
  if (match.phase === "over") return "Esc, or a click on the board, goes back to the result.";
  const waits = match.phase === "human" && !theatre.behind ? "It is your move." : "The match goes on meanwhile.";
  return `${waits} Esc, or a click on the board, goes back to it.`;
}

function overWords({ match }) {
  if (match.spectated) return { headline: "Again?", hint: "The same start with sides swapped shows how much the seat was worth." };
  return { headline: "Again?", hint: "A rematch has the same start with sides swapped: you get what it had." };
}

function watchWords({ theatre, mover, dreaming, thinking }) {
  if (theatre.held) return { headline: "Paused", hint: "The match waits. Press play to go on." };
  if (dreaming) return { headline: `${mover.name} imagines`, hint: "Each line is a move it tries out: dark ones look dear, bright ones cheap." };
  if (thinking && !theatre.behind) return { headline: `${mover.name} is thinking`, hint: "You are watching; speed and pause stand under the board." };
  return { headline: "Watch", hint: "You are watching; speed and pause stand under the board." };
}

function aimWords({ match, aim, coarse }) {
  const placed = aim.waypoints.length;
  const left = Math.ceil((match.turns - match.turn) / 2);
  const colour = match.human === "p1" ? "amber" : "cyan";
  const hints = [
    `${coarse ? "Tap" : "Click"} up to three way-points and push the T into the ${colour} ring.`,
    "The solid line is as far as you get this turn. Add a way-point, or go.",
    "The solid line is as far as you get this turn. One more way-point is left.",
    "That is all three. Go!",
  ];
  return { headline: left === 1 ? "Your last move" : "Your move", hint: hints[placed] };
}

function thinkingHint({ welcome, match }) {
  if (welcome?.model.state === "loading") return "The world model is still loading; this takes a few seconds.";
  return Object.values(match.players).some((player) => player.startsWith("jepa")) ? "It imagines hundreds of futures in latent space." : "It is choosing its move.";
}

export function showTurn({ count, headline, hint }) {
  say($("turn-count"), count);
  say($("headline"), headline);
  say($("hint"), hint);
}

/** The three buttons: { text, enabled, hidden } each. */
export function showButtons(primary, undo, clear) {
  for (const [id, { text, enabled, hidden, plain }] of [["go", primary], ["undo", undo], ["clear", clear]]) {
    say($(`${id}-text`) ?? $(id), text);
    $(id).disabled = !enabled;
    $(id).hidden = Boolean(hidden);
    $(id).classList.toggle("plain", Boolean(plain));
  }
}

/** One sentence about a turn, for those who do not see the board. */
export function spokenTurn(match, turn, names) {
  const gained = gainOf(match, turn);
  const distances = match.distances(turn.states.at(-1));
  const moved = Math.abs(gained) < 1 ? "left the block where it was" : `moved the block ${px(Math.abs(gained))} ${gained > 0 ? "towards" : "away from"} ${turn.player === "human" ? "your" : "its"} goal`;
  const sides = SIDES.map((side) => `${names[side].name} ${px(distances[side])}`).join(", ");
  return `Turn ${turn.turn + 1}: ${names[turn.side].name} ${moved}. To the goals: ${sides}.`;
}

export function showThought(words, side) {
  $("thought").hidden = !words;
  if (!words) return;
  say($("thought-text"), words);
  $("thought").dataset.side = side;
}

/** What the board says over a finished match. */
export function showResult(match, names) {
  const { winner, standing: { distances } } = match.result;
  const rows = match.human ? [match.human, other(match.human)] : SIDES;
  $("result").dataset.side = winner ?? "";
  say($("result-title"), winner === null ? "A draw" : winner === match.human ? "You win" : `${names[winner].name} wins`);
  const whose = winner === null ? "" : winner === match.human ? "Your" : `${names[winner].name}’s`;
  const gap = px(Math.abs(distances.p1 - distances.p2), 1);
  say($("result-text"), winner === null ? "Both goals are equally near to the block." : `${whose} goal is nearer to the block by ${gap}.`);
  [...rows].forEach((side, i) => {
    const item = $("finish").children[i] ?? $("finish").appendChild(document.createElement("div"));
    item.dataset.side = side;
    item.replaceChildren(Object.assign(document.createElement("dt"), { textContent: names[side].name }), Object.assign(document.createElement("dd"), { textContent: px(distances[side], 1) }));
  });
}
