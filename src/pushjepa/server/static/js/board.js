// Drawing the board. One `paint(view)` draws everything from plain data; nothing here remembers the game.

import { alpha, COLOURS } from "./colours.js";
import { DreamLayer } from "./dream.js";
import { dot, line, outlineBlock, ring, text, traceBlock } from "./pen.js";
import { Scenery } from "./scenery.js";

export class Board {
  #canvas;
  #pen;
  #scenery = new Scenery();
  #dreams = new DreamLayer();

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
  }

  /** Match the canvas to the pixels of the screen; true if its size changed. A third pixel per pixel is never seen. */
  fit() {
    const side = Math.round(this.#canvas.clientWidth * Math.min(2, window.devicePixelRatio || 1));
    if (side === 0 || this.#canvas.width === side) return false;
    this.#canvas.width = side;
    this.#canvas.height = side;
    return true;
  }

  /**
   * Draw one picture.
   * view: { scene, before, labels, badges, state, active, pulse, trail, from, ghost, dream, decoded, aim }; `before` is
   * the scene of the turn that led here, in which the block may have been another.
   */
  paint(view) {
    const pen = this.#pen;
    const size = this.#canvas.width;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.#scenery.layer(view.scene, size, view.labels), 0, 0);
    if (view.dream?.faint) this.#dream(view.dream, size, view.scene.size);
    pen.setTransform(size / view.scene.size, 0, 0, size / view.scene.size, 0, 0);
    drawGoalLines(pen, view);
    if (view.from) drawOutline(pen, view.before, view.from, "rgba(236,238,244,.18)", []);
    if (view.trail) drawTrail(pen, view.trail);
    if (view.dream && !view.dream.faint) this.#think(view, size);
    else drawBlock(pen, view.scene, view.state);
    if (view.ghost) drawGhost(pen, view);
    drawAgents(pen, view);
    if (view.aim) drawAim(pen, view.aim);
  }

  /** While a search is shown the block steps back, and the imagined paths lie over it. */
  #think({ scene, state, dream }, size) {
    const pen = this.#pen;
    pen.globalAlpha = 0.2;
    drawBlock(pen, scene, state);
    pen.globalAlpha = 1;
    drawOutline(pen, scene, state, "rgba(236,238,244,.5)", []);
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    this.#dream(dream, size, scene.size);
    pen.restore();
  }

  #dream(dream, size, world) {
    this.#pen.globalAlpha = dream.faint ? 0.6 : 1;
    this.#pen.drawImage(this.#dreams.layer(dream, size, world), 0, 0);
    this.#pen.globalAlpha = 1;
  }
}

/** How far the block still is from either goal. */
function drawGoalLines(pen, { scene, state }) {
  for (const [side, goal] of Object.entries(scene.goals)) {
    pen.strokeStyle = alpha(COLOURS[side], 0.38);
    pen.lineWidth = 1.25;
    line(pen, [[state[4], state[5]], goal], [1.5, 5]);
  }
}

function drawTrail(pen, { points, side }) {
  pen.lineWidth = 5;
  pen.lineCap = "round";
  for (let i = 1; i < points.length; i += 1) {
    pen.strokeStyle = alpha(COLOURS[side], 0.08 + (0.3 * i) / points.length);
    line(pen, [points[i - 1], points[i]]);
  }
  pen.lineCap = "butt";
}

function drawBlock(pen, scene, state) {
  // A soft shadow from three flat strokes: a blurred one costs more than everything else on the board.
  pen.save();
  pen.translate(0, 3);
  pen.lineJoin = "round";
  traceBlock(pen, scene, state);
  for (const width of [13, 8, 3.5]) {
    pen.strokeStyle = "rgba(0,0,0,.16)";
    pen.lineWidth = width;
    pen.stroke();
  }
  pen.restore();
  traceBlock(pen, scene, state);
  pen.fillStyle = COLOURS.block;
  pen.fill();
  pen.strokeStyle = COLOURS.block; // two parts that meet would show a hairline between them
  pen.lineWidth = 0.8;
  pen.stroke();
  // The centre is what counts.
  pen.fillStyle = COLOURS.floor;
  dot(pen, state[4], state[5], 4.2);
  pen.fillStyle = COLOURS.block;
  dot(pen, state[4], state[5], 1.8);
}

function drawOutline(pen, scene, state, colour, dash) {
  outlineBlock(pen, scene, state, { colour, width: 3, dash });
  pen.strokeStyle = colour;
  pen.lineWidth = 1.25;
  ring(pen, state[4], state[5], 4);
}

/** Where the model expected the block, tied to where it is. */
function drawGhost(pen, { scene, before, state, ghost }) {
  const colour = COLOURS[ghost.side];
  drawOutline(pen, before, ghost.state, alpha(colour, 0.9), [5, 4]);
  if (ghost.reply) drawReply(pen, ghost.reply);
  if (ghost.miss === null) return;
  const [tip, middle] = [[ghost.state[4], ghost.state[5]], [state[4], state[5]]];
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  line(pen, [middle, tip]);
  drawTag(pen, `off by ${ghost.miss.toFixed(0)} px`, tip, scene.size, colour);
}

/** The answer that a plan reckons with: where the other side's disc is expected to go. */
function drawReply(pen, { side, points }) {
  pen.strokeStyle = alpha(COLOURS[side], 0.75);
  pen.lineWidth = 1.75;
  line(pen, points, [2, 6]);
  ring(pen, ...points.at(-1), 6);
}

function drawTag(pen, words, [x, y], size, colour) {
  pen.font = "600 11px system-ui, sans-serif";
  const width = pen.measureText(words).width + 16;
  const left = Math.max(8, Math.min(size - 8 - width, x - width / 2));
  const top = y > 96 ? y - 84 : y + 64;
  pen.fillStyle = "rgba(14,17,24,.88)";
  pen.beginPath();
  pen.roundRect(left, top, width, 20, 10);
  pen.fill();
  text(pen, words, left + width / 2, top + 10.5, "600 11px", colour);
}

function drawAgents(pen, { scene, state, active, pulse, badges }) {
  for (const [side, at] of [["p1", 0], ["p2", 2]]) {
    const [x, y] = [state[at], state[at + 1]];
    if (side === active) {
      pen.strokeStyle = alpha(COLOURS[side], 0.6 - 0.45 * pulse);
      pen.lineWidth = 2;
      ring(pen, x, y, scene.agent_radius + 4 + 6 * pulse);
    }
    pen.fillStyle = COLOURS[side];
    dot(pen, x, y, scene.agent_radius);
    const sheen = pen.createRadialGradient(x - 5, y - 6, 1, x, y, scene.agent_radius);
    sheen.addColorStop(0, "rgba(255,255,255,.42)");
    sheen.addColorStop(0.6, "rgba(255,255,255,0)");
    pen.fillStyle = sheen;
    dot(pen, x, y, scene.agent_radius);
    text(pen, badges[side], x, y + 0.5, "700 9.5px", COLOURS.dark);
  }
}

/** The person's aim: { side, waypoints, preview, reach }. */
function drawAim(pen, { side, waypoints, preview, reach }) {
  const colour = COLOURS[side];
  pen.lineJoin = "round";
  pen.strokeStyle = alpha(colour, 0.6);
  pen.lineWidth = 1.75;
  line(pen, [reach[0], ...waypoints, ...(preview ? [preview] : [])], [6, 6]);
  pen.strokeStyle = alpha(colour, preview ? 0.75 : 1);
  pen.lineWidth = 3.5;
  line(pen, reach);
  const end = reach.at(-1);
  pen.strokeStyle = alpha(colour, 0.9);
  pen.lineWidth = 1.5;
  ring(pen, ...end, 16, [3, 3]);
  waypoints.forEach((point, i) => drawBadge(pen, point, String(i + 1), colour, true));
  if (preview) drawBadge(pen, preview, String(waypoints.length + 1), colour, false);
}

function drawBadge(pen, [x, y], label, colour, solid) {
  pen.fillStyle = solid ? colour : COLOURS.floor;
  dot(pen, x, y, 10);
  pen.strokeStyle = solid ? COLOURS.floor : colour;
  pen.lineWidth = 2;
  ring(pen, x, y, 10);
  text(pen, label, x, y + 0.5, "700 12px", solid ? COLOURS.dark : colour);
}
