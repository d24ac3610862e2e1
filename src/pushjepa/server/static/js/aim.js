// Aiming: up to three way-points by mouse, touch or keyboard. Knows nothing of drawing or of the socket.

import { MAX_WAYPOINTS } from "./aiming.js";

const MARGIN = 16; // an agent's centre cannot come nearer to the edge, px
const STRIDE = 8; // of the keyboard's cross-hair, px; four times that with shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Events: "change" whenever the way-points or the hovered point differ, "placed" when a way-point was set,
 * "full" when a fourth was tried, "press" when the board was clicked while there is nothing to aim.
 */
export class Aim extends EventTarget {
  waypoints = [];
  hover = null;
  enabled = false;
  #canvas;
  #boardSize = 512;
  #home = [256, 256];

  constructor(canvas) {
    super();
    this.#canvas = canvas;
    canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.#point(this.#at(event)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("click", (event) => (this.enabled ? this.add(this.#at(event)) : this.#tell("press")));
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Let the person aim from `home`, or not at all. */
  enable(home) {
    this.enabled = true;
    this.#home = home;
    this.#tell("change");
  }

  disable() {
    this.enabled = false;
    this.hover = null;
    this.#tell("change");
  }

  /** The next leg's end if the person clicked now. */
  get preview() {
    return this.enabled && this.hover && this.waypoints.length < MAX_WAYPOINTS ? this.hover : null;
  }

  add(point) {
    if (!this.enabled) return;
    if (this.waypoints.length >= MAX_WAYPOINTS) return this.#tell("full");
    this.waypoints = [...this.waypoints, point];
    this.#tell("change");
    this.#tell("placed");
  }

  undo() {
    if (!this.enabled || this.waypoints.length === 0) return;
    this.waypoints = this.waypoints.slice(0, -1);
    this.#tell("change");
  }

  clear() {
    this.waypoints = [];
    this.hover = null;
    this.#tell("change");
  }

  #onKey(event) {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = ARROWS[event.key];
    if (move) {
      const stride = STRIDE * (event.shiftKey ? 4 : 1);
      const [x, y] = this.hover ?? this.waypoints.at(-1) ?? this.#home;
      this.#point(this.#clamp([x + move[0] * stride, y + move[1] * stride]));
    } else if (event.key === " ") {
      if (this.hover) this.add(this.hover);
    } else if (event.key === "Backspace") this.undo();
    else return;
    event.preventDefault();
  }

  #point(point) {
    if (!this.enabled && point) return;
    if (point === null && this.hover === null) return;
    this.hover = point;
    this.#tell("change");
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#boardSize / box.width;
    return this.#clamp([(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]);
  }

  #clamp(point) {
    return point.map((value) => Math.min(this.#boardSize - MARGIN, Math.max(MARGIN, Math.round(value))));
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }
}
