// What the model reads off the frame: its position over the true one, and how far it is out.

import { alpha, COLOURS } from "../colours.js";
import { $, say } from "../dom.js";
import { STEPS } from "../match.js";
import { dot, outlineBlock, ring, traceBlock } from "../pen.js";
import { fillFigures } from "./mind.js";

let drawn = "";

/** Show what was read after the last whole turn at place k. `model` is the state of the model. */
export function showSeen(match, k, names, model) {
  const turn = Math.floor(k / STEPS);
  const seen = match.decoded.get(turn);
  const size = Math.round($("sees").clientWidth * Math.min(2, window.devicePixelRatio || 1));
  const scene = match.sceneAt(match.lawTurn(k));
  const key = `${match.match_id}/${turn}/${seen?.state}/${size}/${model}/${scene.block_parts}`;
  if (key === drawn) return;
  drawn = key;
  $("sees-body").hidden = !seen;
  $("sees-empty").hidden = Boolean(seen);
  if (!seen) return say($("sees-empty"), why(model));
  const { error } = seen;
  fillFigures($("sees-figures"), [
    [names.p1.name, `${error.p1.toFixed(1)} px`],
    [names.p2.name, `${error.p2.toFixed(1)} px`],
    ["block", `${error.block.toFixed(1)} px`],
    ["angle", `${error.angle.toFixed(1)}°`],
  ]);
  draw($("sees"), scene, match.stateAt(STEPS * turn), seen.state);
}

function why(model) {
  if (model === "loading") return "The model is still loading.";
  return model === "ready" ? "It is looking at the board." : "There is no model that could look at the board.";
}

function draw(canvas, scene, truth, seen) {
  const size = Math.round(canvas.clientWidth * Math.min(2, window.devicePixelRatio || 1));
  [canvas.width, canvas.height] = [size, size];
  const pen = canvas.getContext("2d");
  const scale = size / scene.size;
  pen.scale(scale, scale);
  pen.fillStyle = COLOURS.floor;
  pen.fillRect(0, 0, scene.size, scene.size);
  for (const [side, [x, y]] of Object.entries(scene.goals)) {
    pen.strokeStyle = alpha(COLOURS[side], 0.3);
    pen.lineWidth = 3;
    ring(pen, x, y, scene.goal_radius);
  }
  pen.fillStyle = "rgba(236,238,244,.34)";
  traceBlock(pen, scene, truth);
  pen.fill();
  for (const [side, at] of [["p1", 0], ["p2", 2]]) {
    pen.fillStyle = alpha(COLOURS[side], 0.5);
    dot(pen, truth[at], truth[at + 1], scene.agent_radius);
    pen.strokeStyle = COLOURS.ink;
    pen.lineWidth = 3;
    ring(pen, seen[at], seen[at + 1], scene.agent_radius, [7, 5]);
  }
  outlineBlock(pen, scene, seen, { colour: COLOURS.ink, width: 6, dash: [8, 6] });
}

