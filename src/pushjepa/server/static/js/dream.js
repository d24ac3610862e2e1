// The dream field: where every candidate of a search would take the block and the agent. Painted once per iteration on
// a layer of its own, which fades a little before each further one, so that old ideas pale and a frame stays cheap.

import { heat } from "./colours.js";
import { agentOf } from "./match.js";

const FADE = 0.42; // what is taken from everything older at each iteration

export class DreamLayer {
  #canvas = document.createElement("canvas");
  #pen = this.#canvas.getContext("2d");
  #turn = null;
  #painted = 0;

  /** The layer with the first `iterations` of a turn's search on it, `size` pixels wide for a board of `world`. */
  layer({ turn, iterations }, size, world) {
    const whole = Math.min(turn.trace.length, Math.floor(iterations) + 1);
    if (turn !== this.#turn || this.#canvas.width !== size || whole < this.#painted) this.#start(turn, size, world);
    while (this.#painted < whole) this.#paint(turn, this.#painted);
    return this.#canvas;
  }

  #start(turn, size, world) {
    this.#turn = turn;
    this.#painted = 0;
    this.#canvas.width = size;
    this.#canvas.height = size;
    this.#pen.setTransform(size / world, 0, 0, size / world, 0, 0);
    this.#pen.lineCap = "round";
    this.#pen.lineJoin = "round";
  }

  #paint(turn, index) {
    const pen = this.#pen;
    pen.globalCompositeOperation = "destination-out";
    pen.fillStyle = `rgba(0,0,0,${FADE})`;
    pen.fillRect(0, 0, 4096, 4096);
    pen.globalCompositeOperation = "source-over";
    for (const candidate of candidates(turn, index)) drawCandidate(pen, candidate);
    this.#painted = index + 1;
  }
}

/** The candidates of one iteration, the dearest first so that the cheapest lie on top. */
function candidates(turn, index) {
  const { costs, elites, agents, paths, blocks } = turn.trace[index];
  const [low, high] = range(turn.trace);
  const kept = new Set(elites);
  const block = [turn.from[4], turn.from[5]];
  const agent = agentOf(turn.from, turn.side);
  return costs
    .map((cost, i) => ({
      cost,
      elite: kept.has(i),
      share: high > low ? (high - cost) / (high - low) : 1,
      block: [block, ...blocks[i]],
      agent: [agent, ...(paths[i] ?? [agents[i]])],
    }))
    .sort((a, b) => b.cost - a.cost);
}

/** One scale for the whole search, so that it can be seen to get better; a few absurd candidates do not stretch it. */
function range(trace) {
  const low = Math.min(...trace.flatMap((iteration) => iteration.costs));
  const first = [...trace[0].costs].sort((a, b) => a - b);
  return [low, first[Math.floor(first.length * 0.9)]];
}

function drawCandidate(pen, { block, agent, share, elite }) {
  const strength = elite ? 0.9 : 0.16 + 0.3 * Math.max(0, share);
  pen.strokeStyle = heat(share, strength * 0.3);
  pen.lineWidth = 0.8;
  stroke(pen, agent);
  pen.fillStyle = heat(share, strength * 0.6);
  dot(pen, agent.at(-1), elite ? 2 : 1.3);
  pen.strokeStyle = heat(share, strength);
  pen.lineWidth = elite ? 2.2 : 1.1;
  stroke(pen, block);
  pen.fillStyle = heat(share, Math.min(1, strength + 0.1));
  block.slice(1).forEach((point, i) => dot(pen, point, (elite ? 3 : 1.8) * (i === 0 ? 1 : 0.7)));
}

function stroke(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}

function dot(pen, [x, y], radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}
