// Showing turns one after another: what the opponent imagined, then its five steps, at a pace that can be followed.

const STEP_MS = 130;
const DREAM_MS = 110; // per search iteration
const REST_MS = 260; // between turns
const ELITES = 0.15;

export class Playback {
  #queue = [];
  #now = null;
  #calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  get busy() {
    return this.#now !== null || this.#queue.length > 0;
  }

  /** Queue a turn: { side, from, states, plan, done } with `done` called when it has been shown. */
  push(turn) {
    this.#queue.push(turn);
  }

  reset() {
    this.#queue = [];
    this.#now = null;
  }

  /** What to draw at time `ms`: null if nothing plays, else { state, side, trail, dream, ghost, dreaming }. */
  frame(ms) {
    if (this.#now === null) {
      if (this.#queue.length === 0) return null;
      this.#now = { ...this.#queue.shift(), start: ms };
    }
    const turn = this.#now;
    const iterations = this.#calm.matches ? 0 : (turn.plan?.trace.length ?? 0);
    const elapsed = ms - turn.start;
    const dreaming = iterations * DREAM_MS;
    if (elapsed < dreaming) return dreamFrame(turn, Math.floor(elapsed / DREAM_MS));
    const stepMs = this.#calm.matches ? 1 : STEP_MS;
    const moved = (elapsed - dreaming) / stepMs;
    if (elapsed >= dreaming + stepMs * turn.states.length + REST_MS) {
      this.#now = null;
      turn.done();
      return this.frame(ms);
    }
    return moveFrame(turn, moved);
  }
}

function dreamFrame(turn, iteration) {
  const { costs, blocks } = turn.plan.trace[iteration];
  const order = [...costs].sort((a, b) => a - b);
  const elite = order[Math.max(0, Math.floor(costs.length * ELITES) - 1)];
  const [low, high] = [order[0], order.at(-1)];
  const points = blocks.map((path, i) => ({
    x: path[0][0],
    y: path[0][1],
    heat: high > low ? (high - costs[i]) / (high - low) : 1,
    elite: costs[i] <= elite,
  }));
  return { state: turn.from, side: turn.side, dream: points, dreaming: true, trail: [], ghost: null };
}

function moveFrame(turn, moved) {
  const last = turn.states.length;
  const step = Math.min(last, Math.floor(moved));
  const [before, after] = [step === 0 ? turn.from : turn.states[step - 1], turn.states[Math.min(step, last - 1)]];
  const share = Math.min(1, moved - step);
  const state = step >= last ? turn.states[last - 1] : between(before, after, share);
  const at = turn.side === "p1" ? 0 : 2;
  const trail = [turn.from, ...turn.states.slice(0, step), state].map((s) => [s[at], s[at + 1]]);
  return { state, side: turn.side, trail, dream: null, dreaming: false, ghost: turn.plan?.predicted ?? null };
}

/** A state on the way between two; the angle goes the short way round, because it is told within one turn of a circle. */
function between(before, after, share) {
  const turned = after[6] - before[6];
  const short = Math.atan2(Math.sin(turned), Math.cos(turned));
  return before.map((value, i) => value + (i === 6 ? short : after[i] - value) * share);
}
