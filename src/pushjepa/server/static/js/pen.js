// Strokes that every drawing on a canvas needs.

const TAU = 2 * Math.PI;
const FACE = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export function line(pen, points, dash = []) {
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  pen.setLineDash([]);
}

export function ring(pen, x, y, radius, dash = []) {
  pen.setLineDash(dash);
  pen.beginPath();
  pen.arc(x, y, radius, 0, TAU);
  pen.stroke();
  pen.setLineDash([]);
}

export function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, TAU);
  pen.fill();
}

export function text(pen, words, x, y, font, colour, align = "center") {
  pen.font = `${font} ${FACE}`;
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.fillStyle = colour;
  pen.fillText(words, x, y);
}

/** The corners of a part of the block, which is described about the block's centre at angle zero. */
export function placed(part, state) {
  const [cos, sin] = [Math.cos(state[6]), Math.sin(state[6])];
  return part.map(([x, y]) => [state[4] + x * cos - y * sin, state[5] + x * sin + y * cos]);
}

/** Lay the block's outline as the current path. */
export function traceBlock(pen, scene, state) {
  pen.beginPath();
  for (const part of scene.block_parts) {
    placed(part, state).forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
  }
}

/** The outline of the whole block, without the seams between its parts. */
export function outlineBlock(pen, scene, state, { colour, width, dash }) {
  pen.save();
  const outside = new Path2D();
  outside.rect(0, 0, scene.size, scene.size);
  for (const part of scene.block_parts) {
    const inside = new Path2D(outside);
    inside.addPath(polygon(placed(part, state)));
    pen.clip(inside, "evenodd");
  }
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  traceBlock(pen, scene, state);
  pen.stroke();
  pen.restore();
}

function polygon(points) {
  const path = new Path2D();
  points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
  return path;
}
