// The dialog in which a new match is chosen: to play, or to watch two policies play.

import { $, h } from "./dom.js";

export class Setup {
  #dialog = $("setup");
  #form = $("setup-form");
  #choice = { mode: "play", stage: "open", opponent: null, side: "p1", first: "p1", p1: null, p2: null };
  #offer = null;

  /** `start(choice)` is called with the fields of a new_match message when the person has chosen. */
  constructor(start) {
    this.#form.addEventListener("submit", (event) => {
      if (event.submitter?.value !== "start") return;
      const seed = $("seed").value.trim();
      this.#read();
      start({ ...this.choice(), ...(seed === "" ? {} : { seed: Number(seed) }) });
    });
    this.#form.addEventListener("change", () => this.#adapt());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  /** The last choice, as the fields of a new_match message, the seed left to the server. */
  choice() {
    const { mode, stage, opponent, side, first, p1, p2 } = this.#choice;
    return mode === "watch" ? { stage, first, players: { p1, p2 } } : { stage, first, side, opponent };
  }

  /** Take what the server offers. */
  offer(welcome) {
    this.#offer = welcome;
    const { opponents, stages } = welcome;
    const able = opponents.filter((o) => o.available).map((o) => o.name);
    const choice = this.#choice;
    if (!able.includes(choice.opponent)) choice.opponent = able[0] ?? null;
    if (!able.includes(choice.p1)) choice.p1 = able[0] ?? null;
    if (!able.includes(choice.p2)) choice.p2 = able[0] ?? null;
    const rows = opponents.map((o) => ({ value: o.name, title: o.title, note: o.summary, disabled: !o.available }));
    fillChoices($("choose-opponent"), "opponent", rows);
    fillChoices($("choose-stage"), "stage", stages.map((stage) => ({ value: stage.name, title: stage.title })));
    for (const id of ["watch-p1", "watch-p2"]) {
      $(id).replaceChildren(...opponents.map((o) => h("option", { value: o.name, disabled: !o.available }, o.title)));
    }
    this.#write();
  }

  /** The match now on the board is where the next choice starts from. */
  remember({ stage, opponent, human, first, players }) {
    const watched = human === null;
    const seats = watched ? { mode: "watch", p1: players.p1, p2: players.p2 } : { mode: "play", opponent, side: human };
    this.#choice = { ...this.#choice, stage, first, ...seats };
  }

  open() {
    if (!this.#offer) return;
    this.#write();
    $("seed").value = "";
    this.#dialog.showModal();
  }

  #write() {
    for (const [name, value] of Object.entries(this.#choice)) {
      const field = this.#form.elements.namedItem(name);
      if (field) field.value = value;
    }
    this.#adapt();
  }

  #read() {
    const values = Object.fromEntries(new FormData(this.#form));
    for (const name of Object.keys(this.#choice)) if (values[name] !== undefined) this.#choice[name] = values[name];
  }

  /** Show what belongs to the mode, and call the starters by their names. */
  #adapt() {
    const values = Object.fromEntries(new FormData(this.#form));
    for (const part of this.#form.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== values.mode;
    const title = (name) => this.#offer?.opponents.find((o) => o.name === name)?.title ?? name;
    for (const side of ["p1", "p2"]) {
      const colour = side === "p1" ? "Amber" : "Cyan";
      const words = values.mode === "watch" ? colour : values.side === side ? "You" : title(values.opponent);
      $(`first-${side}`).textContent = words ?? colour;
    }
  }
}

function fillChoices(box, group, items) {
  box.replaceChildren(
    ...items.map(({ value, title, note, disabled }) =>
      h("label", { class: "choice" },
        h("input", { type: "radio", name: group, value, disabled }),
        h("span", {}, h("b", {}, title), note ? h("small", {}, note) : null))),
  );
}
