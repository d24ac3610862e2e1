// A place in a match that moves with time: what was imagined before a turn, its five steps, a short rest.

import { STEPS } from "./match.js";

const STEP_MS = 130;
const DREAM_MS = 170; // per search iteration
const HOLD_MS = 380; // the finished search stays a moment before the move
const REST_MS = 340; // between turns

export class Playhead {
  /** Steps since the start of the match. */
  k = 0;
  /** How far the coming turn's search has been shown, in iterations; null when none is. */
  dream = null;
  #dreamt = -1; // the last turn whose search was shown
  #rest = 0;

  /** Stand at place k, with nothing under way. `dreamt`: the search of the turn that starts there counts as shown. */
  jump(k, dreamt = false) {
    this.k = k;
    this.dream = null;
    this.#rest = 0;
    this.#dreamt = dreamt ? Math.floor(k / STEPS) : -1;
  }

  /** Whether there is something left to show before place `end`. */
  busy(end) {
    return this.k < end || this.#rest > 0;
  }

  /**
   * Move on by `ms`. Options: `dreams`, whether searches are shown; `calm`, whether a turn is shown at once instead of step by step.
   * Gives the place where it stopped.
   */
  advance(match, ms, { dreams, calm, rest = REST_MS }) {
    let left = ms;
    while (left > 0 && this.busy(match.length)) {
      if (this.#rest > 0) {
        const waited = Math.min(left, this.#rest);
        this.#rest -= waited;
        left -= waited;
      } else left = this.#move(match, left, dreams && !calm, calm, rest);
    }
    return this.k;
  }

  #move(match, left, dreams, calm, rest) {
    const turn = Math.floor(this.k / STEPS);
    const iterations = this.k % STEPS === 0 && dreams && this.#dreamt < turn ? (match.history[turn].trace?.length ?? 0) : 0;
    if (iterations > 0) return this.#imagine(turn, iterations, left);
    this.dream = null;
    const end = STEPS * (turn + 1);
    // Not merely fast: a frame that falls within the turn would show one of its steps.
    const needed = calm ? 0 : (end - this.k) * STEP_MS;
    if (left < needed) {
      this.k += left / STEP_MS;
      return 0;
    }
    this.k = end;
    this.#rest = rest;
    return left - needed;
  }

  #imagine(turn, iterations, left) {
    const done = iterations + HOLD_MS / DREAM_MS;
    this.dream = (this.dream ?? 0) + left / DREAM_MS;
    if (this.dream < done) return 0;
    const over = (this.dream - done) * DREAM_MS;
    this.dream = null;
    this.#dreamt = turn;
    return over;
  }
}
