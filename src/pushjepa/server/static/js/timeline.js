// The tape under the board: every turn and every step, the handle, and the keys that move it.

import { $, h, s, say } from "./dom.js";
import { sameLaws, worldName } from "./laws.js";
import { STEPS } from "./match.js";

/** Events: "scrub" with the place as detail. */
export class Timeline extends EventTarget {
  #tape = $("tape");
  #handle = h("i", { class: "handle" });
  #liveMark = h("i", { class: "live-mark" });
  #built = "";
  #turns = 10;
  #end = 0; // steps that are known
  #k = 0;

  constructor() {
    super();
    this.#tape.addEventListener("pointerdown", (event) => this.#grab(event));
    this.#tape.addEventListener("pointermove", (event) => this.#tape.hasPointerCapture(event.pointerId) && this.#drag(event));
    this.#tape.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Lay out the turns of a match; `known` turns can be visited. `usual` are the standard laws, null if not known yet. */
  build(match, names, usual) {
    const key = `${match.match_id}/${match.history.length}/${names.p1.name}/${JSON.stringify([match.changes, usual])}`;
    if (key === this.#built) return;
    this.#built = key;
    this.#turns = match.turns;
    this.#end = match.length;
    const turns = Array.from({ length: match.turns }, (_, i) => {
      const known = i < match.history.length;
      const side = match.sideOf(i);
      const laws = usual && !sameLaws(match.lawsAt(i), usual) ? "other" : "usual";
      return h("span", { class: "leg", "data-side": side, "data-known": known ? "yes" : "no", "data-laws": laws }, h("b", {}, `T${i + 1}`), ticks(), lawMark(match, i, usual));
    });
    this.#tape.replaceChildren(...turns, this.#liveMark, this.#handle);
    this.#tape.setAttribute("aria-valuemax", String(match.length));
  }

  /** Put the handle at place k, and say where that is. */
  show(k, liveAt, words) {
    this.#k = k;
    const share = (at) => `${((100 * at) / (STEPS * this.#turns)).toFixed(2)}%`;
    this.#handle.style.left = share(k);
    this.#liveMark.style.left = share(liveAt);
    this.#liveMark.hidden = liveAt === k;
    const step = String(Math.round(k));
    if (this.#tape.getAttribute("aria-valuenow") !== step) this.#tape.setAttribute("aria-valuenow", step);
    if (this.#tape.getAttribute("aria-valuetext") !== words) this.#tape.setAttribute("aria-valuetext", words);
    say($("where"), words);
  }

  #grab(event) {
    if (event.button !== 0) return;
    this.#tape.setPointerCapture(event.pointerId);
    this.#tape.focus({ preventScroll: true });
    event.preventDefault();
    this.#drag(event);
  }

  #drag(event) {
    const box = this.#tape.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    this.#scrub(share * STEPS * this.#turns);
  }

  #onKey(event) {
    const here = Math.round(this.#k);
    const turn = Math.floor(here / STEPS);
    const jumps = {
      ArrowLeft: here - (event.shiftKey ? STEPS : 1), ArrowDown: here - 1, ArrowRight: here + (event.shiftKey ? STEPS : 1), ArrowUp: here + 1,
      PageDown: here % STEPS ? STEPS * turn : here - STEPS, PageUp: STEPS * (turn + 1), Home: 0, End: this.#end,
    };
    if (jumps[event.key] === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#scrub(jumps[event.key]);
  }

  /** By whole steps: what lies between two is only drawn. */
  #scrub(k) {
    const place = Math.max(0, Math.min(this.#end, Math.round(k)));
    this.dispatchEvent(new CustomEvent("scrub", { detail: place }));
  }
}

/** A mark where other laws come into force; null where none do. */
function lawMark(match, turn, usual) {
  const change = match.changes.find((item) => item.turn === turn);
  return change ? h("i", { class: "law-mark", title: `From turn ${turn + 1}: ${usual ? worldName(change.physics, usual) : "other laws"}` }) : null;
}

/** The minor ticks of one turn. */
function ticks() {
  const marks = Array.from({ length: STEPS - 1 }, (_, i) => `M${20 * (i + 1)} 0V6`).join("");
  return s("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, s("path", { d: marks }));
}

/** Where place k is, in words: "T3 JEPA · step 2 of 5", and which laws hold there if they are not the usual ones. */
export function placeWords(match, { k, dream }, names, usual) {
  const place = turnWords(match, { k, dream }, names);
  const laws = match.lawsAt(match.lawTurn(k));
  return usual && !sameLaws(laws, usual) ? `${place} · ${worldName(laws, usual)}` : place;
}

function turnWords(match, { k, dream }, names) {
  if (dream !== null) {
    const turn = Math.floor(k / STEPS);
    return `T${turn + 1} ${names[match.sideOf(turn)].name} · imagining`;
  }
  if (k <= 0) return "Start";
  const turn = Math.ceil(k / STEPS) - 1;
  const step = Math.ceil(k - STEPS * turn);
  return `T${turn + 1} ${names[match.sideOf(turn)].name} · ${step >= STEPS ? "end" : `step ${step} of ${STEPS}`}`;
}
