// The laws of physics: which hold at the place that the board shows, and the controls that change them from the next turn.
// What is chosen is a draft until it is applied; the server says from which turn it holds.

import { $, h, s, say } from "../dom.js";
import { LAWS, presetOf, PRESETS, sameLaws, shapeTitle, unusual, usualLaws, worldName } from "../laws.js";

export class LawsPanel {
  #game;
  #usual = null;
  #draft = null;
  #touched = false; // the draft is the person's, not what the server told last
  #match = null; // id of the match that the draft is for
  #drawn = "";
  #open = false;

  constructor(game) {
    this.#game = game;
    $("laws-open").addEventListener("click", () => this.#toggle());
    this.#button("laws-apply", () => this.#draft);
    this.#button("laws-standard", () => this.#usual);
  }

  /** Bring the controls in line with the live match and what the server offers. */
  update({ welcome, theatre, connected }) {
    const { match } = this.#game;
    if (!this.#usual && welcome?.laws) this.#build(welcome.laws);
    const live = this.#usual !== null && match !== null && !theatre.replay;
    $("laws-open").hidden = !live || (match.phase === "over" && !this.#open);
    $("laws-body").hidden = !live || !this.#open;
    if (!live) return;
    const latest = match.lawsAt(match.turns - 1);
    if (match.match_id !== this.#match || sameLaws(this.#draft, latest)) this.#touched = false;
    if (!this.#touched && !this.#game.changing) this.#draft = { ...latest };
    this.#match = match.match_id;
    this.#show();
    this.#offer(latest, connected);
  }

  /** Say which laws hold at place k, and what is to come. */
  follow({ match, welcome, k }) {
    const usual = usualLaws(welcome);
    if (!usual) return;
    const turn = match.lawTurn(k);
    const coming = match.changes.find((change) => change.turn > turn);
    const words = unusual(match.lawsAt(turn), usual);
    const key = JSON.stringify([words, coming, usual, turn]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    const preset = presetOf(match.lawsAt(turn), usual)?.title;
    say($("laws-turn"), `in turn ${turn + 1}`);
    const chips = words.length ? words : [preset];
    $("laws-now").replaceChildren(...chips.map((text) => h("li", { class: words.length ? "odd" : null }, text)));
    say($("laws-told"), coming ? `From turn ${coming.turn + 1}: ${worldName(coming.physics, usual)}.` : "");
  }

  #toggle() {
    this.#open = !this.#open;
    $("laws-open").setAttribute("aria-expanded", String(this.#open));
    say($("laws-open"), this.#open ? "Close" : "Change");
    $("laws-body").hidden = !this.#open;
  }

  /** A button that sends laws. After a click by mouse or finger the keys belong to the board again. */
  #button(id, physics) {
    $(id).addEventListener("click", (event) => {
      this.#touched = false;
      this.#draft = { ...physics() };
      this.#game.changePhysics(this.#draft);
      if (event.detail > 0) $("board").focus({ preventScroll: true });
    });
  }

  /** Make the controls, once the server has said what there is to change. */
  #build({ numbers, shapes }) {
    this.#usual = usualLaws(this.#game.welcome);
    $("laws-presets").replaceChildren(...PRESETS.map((preset) =>
      h("button", { class: "button small", type: "button", "aria-pressed": "false", onclick: () => this.#choose({ ...this.#usual, ...preset.physics }) }, preset.title)));
    $("laws-rows").replaceChildren(...numbers.filter(({ name }) => LAWS[name]).map((law) => this.#row(law)));
    $("laws-shapes").replaceChildren(...shapes.map((shape) => this.#tile(shape)));
  }

  /** A label, its value in words and a slider over the stops of one law. */
  #row({ name, low, high, standard }) {
    const id = `law-${name}`;
    const field = h("input", { type: "range", id, name, min: 0, step: 1 });
    field.stops = [...new Set([low, high, standard, ...LAWS[name].stops])].filter((value) => low <= value && value <= high).sort((a, b) => a - b);
    field.addEventListener("input", () => this.#choose({ ...this.#draft, [name]: field.shown[field.value] }));
    return h("div", { class: "law" }, h("label", { for: id }, LAWS[name].title), h("output", { for: id }), field);
  }

  #tile({ name, parts }) {
    const outline = parts.map((corners) => `M${corners.map((point) => point.join(" ")).join("L")}Z`).join("");
    const picture = s("svg", { viewBox: "-70 -70 140 140", "aria-hidden": "true" }, s("path", { d: outline }));
    return h("label", { class: "choice" },
      h("input", { type: "radio", name: "block_shape", value: name, onchange: () => this.#choose({ ...this.#draft, block_shape: name }) }),
      h("span", {}, picture, shapeTitle(name)));
  }

  #choose(physics) {
    this.#touched = true;
    this.#draft = physics;
    this.#show();
    this.#offer(this.#game.match.lawsAt(this.#game.match.turns - 1), this.#game.connected);
  }

  /** Set every control to the draft. */
  #show() {
    const draft = this.#draft;
    for (const row of $("laws-rows").children) setSlider(row, draft, this.#usual);
    for (const field of $("laws-shapes").querySelectorAll("input")) field.checked = field.value === draft.block_shape;
    const preset = PRESETS.indexOf(presetOf(draft, this.#usual));
    [...$("laws-presets").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === preset)));
  }

  /** What can be sent, and from which turn it would hold. */
  #offer(latest, connected) {
    const { nextChange: turn, changing } = this.#game;
    const able = connected && !changing && turn !== null;
    say($("laws-apply"), turn === null ? "No turn is left" : `Apply from turn ${turn + 1}`);
    $("laws-apply").disabled = !able || sameLaws(this.#draft, latest);
    $("laws-standard").disabled = !able || sameLaws(latest, this.#usual);
  }
}

/** Put a slider at the value of its law; one that lies between the stops becomes a stop of its own. */
function setSlider(row, physics, usual) {
  const [, output, field] = row.children;
  const value = physics[field.name];
  field.shown = field.stops.includes(value) ? field.stops : [...field.stops, value].sort((a, b) => a - b);
  field.max = field.shown.length - 1;
  field.value = field.shown.indexOf(value);
  const words = LAWS[field.name].words(value);
  say(output, words);
  field.setAttribute("aria-valuetext", words);
  row.classList.toggle("odd", value !== usual[field.name]);
}
