// Everything on the board that never moves: floor, goals, obstacles. Painted once and copied into every frame.

import { alpha, COLOURS } from "./colours.js";
import { dot, line, ring, text } from "./pen.js";

export class Scenery {
  #canvas = document.createElement("canvas");
  #key = "";

  /** The scenery, `size` pixels wide; `labels` are the words under the two goals. */
  layer(scene, size, labels) {
    const key = JSON.stringify([size, labels, scene]);
    if (key !== this.#key) {
      this.#key = key;
      this.#paint(scene, size, labels);
    }
    return this.#canvas;
  }

  #paint(scene, size, labels) {
    this.#canvas.width = size;
    this.#canvas.height = size;
    const pen = this.#canvas.getContext("2d");
    pen.scale(size / scene.size, size / scene.size);
    floor(pen, scene);
    for (const [side, goal] of Object.entries(scene.goals)) drawGoal(pen, scene, side, goal, labels[side]);
    for (const item of scene.obstacles) drawObstacle(pen, item);
  }
}

function floor(pen, { size, wall_inset: inset }) {
  pen.fillStyle = COLOURS.wall;
  pen.fillRect(0, 0, size, size);
  const light = pen.createRadialGradient(size / 2, size / 2, 20, size / 2, size / 2, size * 0.72);
  light.addColorStop(0, "#1a1f2d");
  light.addColorStop(1, "#10131c");
  pen.fillStyle = light;
  pen.fillRect(inset, inset, size - 2 * inset, size - 2 * inset);
  pen.fillStyle = "rgba(236,238,244,.07)";
  for (let x = 32; x < size; x += 32) for (let y = 32; y < size; y += 32) dot(pen, x, y, 0.9);
  pen.strokeStyle = "rgba(236,238,244,.07)";
  pen.lineWidth = 1;
  line(pen, [[size / 2, inset], [size / 2, size - inset]], [2, 6]);
}

function drawGoal(pen, scene, side, [x, y], label) {
  const glow = pen.createRadialGradient(x, y, 4, x, y, scene.goal_radius * 2.1);
  glow.addColorStop(0, alpha(COLOURS[side], 0.24));
  glow.addColorStop(1, alpha(COLOURS[side], 0));
  pen.fillStyle = glow;
  dot(pen, x, y, scene.goal_radius * 2.1);
  pen.strokeStyle = alpha(COLOURS[side], 0.8);
  pen.lineWidth = 3;
  ring(pen, x, y, scene.goal_radius);
  pen.strokeStyle = alpha(COLOURS[side], 0.3);
  pen.lineWidth = 1;
  ring(pen, x, y, scene.goal_radius - 9);
  pen.fillStyle = alpha(COLOURS[side], 0.9);
  dot(pen, x, y, 2.2);
  text(pen, label, x, y + scene.goal_radius + 15, "600 10.5px", alpha(COLOURS[side], 0.95));
}

function drawObstacle(pen, item) {
  pen.beginPath();
  if (item.kind === "pillar") pen.arc(item.x, item.y, item.radius, 0, 2 * Math.PI);
  else pen.rect(item.left, item.top, item.right - item.left, item.bottom - item.top);
  pen.fillStyle = COLOURS.wall;
  pen.fill();
  pen.strokeStyle = "rgba(236,238,244,.16)";
  pen.lineWidth = 1.25;
  pen.stroke();
}
