// One match as far as it is known: its set-up and every turn that was played. Plain data and pure questions about it.
//
// A place in the match is a number of steps since its start, k: 0 is the start position, 5 the end of the first turn,
// 7.5 half-way through the third step of the second. Everything on the page that can be scrubbed is a function of k.

import { other } from "./dom.js";

export const STEPS = 5; // env steps in a turn

export class Match {
  /** From a match_state message, or from a replay in the same form. */
  constructor(state) {
    Object.assign(this, state);
    this.history = [];
    for (const turn of state.history) this.add(turn);
    this.openingOdds = state.turn === 0 ? state.odds : null;
    this.minds = new Map(); // by side, the newest mind message of a policy that adapts
    this.decoded = new Map(); // what the model read off the frame after so many turns: { state, error }
  }

  /** Add a turn that was played: { turn, side, block, states, standing, plan, trace, … }. */
  add(turn) {
    const from = this.history.at(-1)?.states.at(-1) ?? this.start;
    this.history.push({ ...turn, from });
  }

  /** How many steps are known. */
  get length() {
    return STEPS * this.history.length;
  }

  /** The position at place k. */
  stateAt(k) {
    const index = Math.min(this.history.length - 1, Math.floor(k / STEPS));
    if (index < 0) return this.start;
    const { from, states } = this.history[index];
    const steps = [from, ...states];
    const within = Math.min(STEPS, k - STEPS * index);
    const step = Math.min(STEPS - 1, Math.floor(within));
    return between(steps[step], steps[step + 1], within - step);
  }

  /** The turn that moves at place k; at the end of a turn that turn, at the very start none. */
  turnAt(k) {
    return k <= 0 ? null : (this.history[Math.ceil(k / STEPS) - 1] ?? null);
  }

  /** Distance of the block to either goal, px. */
  distancesAt(k) {
    return this.distances(this.stateAt(k));
  }

  distances(state) {
    const away = ([x, y]) => Math.hypot(state[4] - x, state[5] - y);
    return { p1: away(this.scene.goals.p1), p2: away(this.scene.goals.p2) };
  }

  /** How much nearer the block came to either goal since the start, px. */
  progressAt(k) {
    const [before, now] = [this.distances(this.start), this.distancesAt(k)];
    return { p1: before.p1 - now.p1, p2: before.p2 - now.p2 };
  }

  /** Whether two policies play and the person watches. */
  get spectated() {
    return this.human === null;
  }

  /** Odds of both sides at place k, as the server gave them after the last whole turn; null if it gave none. */
  oddsAt(k) {
    const turns = Math.floor(k / STEPS);
    if (turns === this.turn) return this.odds;
    return turns === 0 ? this.openingOdds : (this.history[turns - 1]?.odds ?? null);
  }

  /** The turn whose laws hold at place k: when a turn has ended the board is the next one's. */
  lawTurn(k) {
    return Math.min(this.turns - 1, Math.floor(k / STEPS));
  }

  /** The laws of a turn, played or not, as far as they are known. */
  lawsAt(turn) {
    return this.#changeAt(turn)?.physics ?? this.physics;
  }

  /** What to draw in a turn: the board, with the block as the laws of that turn make it. */
  sceneAt(turn) {
    const change = this.#changeAt(turn);
    return change ? { ...this.scene, block_parts: change.block_parts } : this.scene;
  }

  #changeAt(turn) {
    return this.changes.findLast((change) => change.turn <= turn);
  }

  /** Who acts in a turn, played or not. */
  sideOf(turn) {
    return turn % 2 === 0 ? this.first : other(this.first);
  }
}

/** A position on the way between two; the angle goes the short way round, because it is told within one full turn. */
export function between(before, after, share) {
  if (share <= 0) return before;
  if (share >= 1) return after;
  const turned = after[6] - before[6];
  const short = Math.atan2(Math.sin(turned), Math.cos(turned));
  return before.map((value, i) => value + (i === 6 ? short : after[i] - value) * share);
}

export function agentOf(state, side) {
  return side === "p1" ? state.slice(0, 2) : state.slice(2, 4);
}
