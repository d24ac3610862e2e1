// Drawing the board. One `paint(view)` draws everything from plain data; nothing here remembers the game.

export const COLOURS = {
  floor: "#151821", wall: "#3a4050", p1: "#ffb02e", p2: "#28cce8", block: "#eceef4",
};
const TAU = 2 * Math.PI;

export class Board {
  #canvas;
  #pen;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
  }

  /** Match the canvas to the pixels of the screen; true if its size changed. */
  fit() {
    const side = Math.max(1, Math.round(this.#canvas.clientWidth * (window.devicePixelRatio || 1)));
    if (this.#canvas.width === side) return false;
    this.#canvas.width = side;
    this.#canvas.height = side;
    return true;
  }

  /**
   * Draw one picture.
   * view: { scene, state, names, human, active, pulse, trail, from, ghost, dream, aim, reach, preview, lines }
   */
  paint(view) {
    const pen = this.#pen;
    const scale = this.#canvas.width / view.scene.size;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#floor(view);
    this.#goals(view);
    this.#obstacles(view.scene);
    if (view.lines) this.#goalLines(view);
    if (view.from) this.#ghostBlock(view.scene, view.from, "rgba(236,238,244,.16)", []);
    if (view.dream) this.#dream(view.dream);
    if (view.trail) this.#trail(view.trail);
    this.#block(view.scene, view.state);
    if (view.ghost) this.#ghostBlock(view.scene, view.ghost.state, alpha(COLOURS[view.ghost.side], 0.85), [5, 4]);
    if (view.reach) this.#aim(view);
    this.#agents(view);
  }

  #floor({ scene }) {
    const pen = this.#pen;
    const { size, wall_inset: inset } = scene;
    pen.fillStyle = COLOURS.wall;
    pen.fillRect(0, 0, size, size);
    pen.fillStyle = COLOURS.floor;
    pen.fillRect(inset, inset, size - 2 * inset, size - 2 * inset);
    pen.fillStyle = "rgba(236,238,244,.055)";
    for (let x = 32; x < size; x += 32) for (let y = 32; y < size; y += 32) dot(pen, x, y, 0.9);
    pen.strokeStyle = "rgba(236,238,244,.05)";
    pen.lineWidth = 1;
    line(pen, [[size / 2, inset], [size / 2, size - inset]], [2, 6]);
  }

  #goals({ scene, names }) {
    const pen = this.#pen;
    for (const [side, [x, y]] of Object.entries(scene.goals)) {
      const glow = pen.createRadialGradient(x, y, 4, x, y, scene.goal_radius * 1.9);
      glow.addColorStop(0, alpha(COLOURS[side], 0.2));
      glow.addColorStop(1, alpha(COLOURS[side], 0));
      pen.fillStyle = glow;
      dot(pen, x, y, scene.goal_radius * 1.9);
      pen.strokeStyle = alpha(COLOURS[side], 0.75);
      pen.lineWidth = 3;
      ring(pen, x, y, scene.goal_radius);
      pen.strokeStyle = alpha(COLOURS[side], 0.3);
      pen.lineWidth = 1;
      ring(pen, x, y, scene.goal_radius - 9);
      pen.fillStyle = alpha(COLOURS[side], 0.9);
      dot(pen, x, y, 2.2);
      text(pen, names[side].goal, x, y + scene.goal_radius + 15, "600 10.5px", alpha(COLOURS[side], 0.95));
    }
  }

  #obstacles({ obstacles }) {
    const pen = this.#pen;
    for (const item of obstacles) {
      pen.fillStyle = COLOURS.wall;
      pen.strokeStyle = "rgba(236,238,244,.12)";
      pen.lineWidth = 1.25;
      pen.beginPath();
      if (item.kind === "pillar") pen.arc(item.x, item.y, item.radius, 0, TAU);
      else pen.rect(item.left, item.top, item.right - item.left, item.bottom - item.top);
      pen.fill();
      pen.stroke();
    }
  }

  /** How far the block still is from either goal. */
  #goalLines({ scene, state }) {
    for (const [side, goal] of Object.entries(scene.goals)) {
      this.#pen.strokeStyle = alpha(COLOURS[side], 0.38);
      this.#pen.lineWidth = 1.25;
      line(this.#pen, [[state[4], state[5]], goal], [1.5, 5]);
    }
  }

  /** Where the candidates of one search iteration would leave the block; dear ones amber-grey, cheap ones bright. */
  #dream({ points, colour }) {
    for (const { x, y, heat, elite } of points) {
      this.#pen.fillStyle = alpha(colour, elite ? 0.85 : 0.08 + 0.3 * heat);
      dot(this.#pen, x, y, elite ? 2.6 : 1.7);
    }
  }

  #trail({ points, side }) {
    const pen = this.#pen;
    pen.lineWidth = 5;
    for (let i = 1; i < points.length; i += 1) {
      pen.strokeStyle = alpha(COLOURS[side], 0.08 + (0.3 * i) / points.length);
      line(pen, [points[i - 1], points[i]], []);
    }
  }

  #block(scene, state) {
    const pen = this.#pen;
    pen.save();
    pen.shadowColor = "rgba(0,0,0,.55)";
    pen.shadowBlur = 14 * pen.getTransform().a;
    pen.shadowOffsetY = 3 * pen.getTransform().a;
    pen.fillStyle = COLOURS.block;
    this.#trace(scene, state);
    pen.fill();
    pen.restore();
    // Two parts that meet would show a hairline between them.
    pen.strokeStyle = COLOURS.block;
    pen.lineWidth = 0.8;
    pen.stroke();
    // The centre is what counts.
    pen.fillStyle = COLOURS.floor;
    dot(pen, state[4], state[5], 4.2);
    pen.fillStyle = COLOURS.block;
    dot(pen, state[4], state[5], 1.8);
  }

  #ghostBlock(scene, state, colour, dash) {
    const pen = this.#pen;
    // Only the outline of the union: clip away the inside, then stroke every part.
    pen.save();
    const outside = new Path2D();
    outside.rect(0, 0, scene.size, scene.size);
    for (const part of scene.block_parts) {
      const inside = new Path2D(outside);
      inside.addPath(polygon(placed(part, state)));
      pen.clip(inside, "evenodd");
    }
    pen.strokeStyle = colour;
    pen.lineWidth = 3;
    pen.setLineDash(dash);
    this.#trace(scene, state);
    pen.stroke();
    pen.restore();
    pen.strokeStyle = colour;
    pen.lineWidth = 1.25;
    ring(pen, state[4], state[5], 4);
  }

  #trace(scene, state) {
    this.#pen.beginPath();
    for (const part of scene.block_parts) {
      placed(part, state).forEach(([x, y], i) => (i ? this.#pen.lineTo(x, y) : this.#pen.moveTo(x, y)));
      this.#pen.closePath();
    }
  }

  #agents({ scene, state, active, pulse, human }) {
    const pen = this.#pen;
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
      if (side === human) text(pen, "YOU", x, y + 0.5, "700 9.5px", "#10131a");
    }
  }

  #aim({ aim, reach, preview, human }) {
    const pen = this.#pen;
    const colour = COLOURS[human];
    pen.lineJoin = "round";
    pen.strokeStyle = alpha(colour, 0.55);
    pen.lineWidth = 1.75;
    line(pen, [reach[0], ...aim, ...(preview ? [preview] : [])], [6, 6]);
    pen.strokeStyle = alpha(colour, preview ? 0.7 : 1);
    pen.lineWidth = 3.5;
    line(pen, reach, []);
    const end = reach.at(-1);
    pen.strokeStyle = alpha(colour, 0.9);
    pen.lineWidth = 1.5;
    ring(pen, ...end, 16);
    aim.forEach((point, i) => badge(pen, point, String(i + 1), colour, true));
    if (preview) badge(pen, preview, String(aim.length + 1), colour, false);
  }
}

function placed(part, state) {
  const [cos, sin] = [Math.cos(state[6]), Math.sin(state[6])];
  return part.map(([x, y]) => [state[4] + x * cos - y * sin, state[5] + x * sin + y * cos]);
}

function polygon(points) {
  const path = new Path2D();
  points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  return path;
}

function line(pen, points, dash) {
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  pen.setLineDash([]);
}

function ring(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, TAU);
  pen.stroke();
}

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, TAU);
  pen.fill();
}

function badge(pen, [x, y], label, colour, solid) {
  pen.fillStyle = solid ? colour : COLOURS.floor;
  dot(pen, x, y, 10);
  pen.strokeStyle = solid ? COLOURS.floor : colour;
  pen.lineWidth = 2;
  ring(pen, x, y, 10);
  text(pen, label, x, y + 0.5, "700 12px", solid ? "#10131a" : colour);
}

function text(pen, words, x, y, font, colour) {
  pen.font = `${font} system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = colour;
  pen.fillText(words, x, y);
}

export function alpha(hex, value) {
  return hex + Math.round(255 * value).toString(16).padStart(2, "0");
}
