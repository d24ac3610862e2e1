// What the board shows at a place in the match: the position, the last trail, what was imagined, what came of it.

import { other } from "./dom.js";
import { agentOf, STEPS } from "./match.js";

/**
 * Give the picture for place `k`; `dream` is a number of search iterations while a search is being shown, else null.
 * With `keepDream` the search behind the turn shown stays visible under the move.
 */
export function pictureAt(match, { k, dream }, { keepDream }) {
  const state = match.stateAt(k);
  if (dream !== null) {
    const turn = match.history[Math.floor(k / STEPS)];
    return { state, turn, dream: { turn, iterations: dream, faint: false }, trail: null, ghost: null, from: null };
  }
  const turn = match.turnAt(k);
  if (!turn) return { state, turn: null, dream: null, trail: null, ghost: null, from: null };
  const within = k - STEPS * turn.turn;
  const ended = within >= STEPS;
  return {
    state,
    turn,
    from: ended ? turn.from : null,
    trail: { side: turn.side, points: trailOf(turn, within, state) },
    ghost: turn.plan && ghostOf(turn, ended, state),
    dream: keepDream && turn.trace ? { turn, iterations: turn.trace.length, faint: true } : null,
  };
}

/** What had been expected: the end of the turn and, once it is over, the other side's answer to it. */
function ghostOf({ side, plan, telemetry }, ended, state) {
  const reply = ended && plan.reply ? { side: other(side), points: [agentOf(plan.predicted, other(side)), ...plan.reply] } : null;
  return { side, state: plan.predicted, miss: ended ? telemetry.block_error : null, reply };
}

function trailOf({ side, from, states }, within, state) {
  return [from, ...states.slice(0, Math.floor(within)), state].map((at) => agentOf(at, side));
}
