// The dialog in which a new match is chosen.

import { fillChoices } from "./panel.js";

const other = (side) => (side === "p1" ? "p2" : "p1");

export class Setup {
  #dialog;
  #form;
  #choice = { stage: "open", opponent: null, side: "p1", first: "p1", seed: null };

  /** `start(choice)` is called when the person has chosen. */
  constructor(dialog, start) {
    this.#dialog = dialog;
    this.#form = dialog.querySelector("form");
    this.#form.addEventListener("submit", (event) => {
      if (event.submitter?.value !== "start") return;
      this.#read();
      start(this.choice());
    });
    this.#form.addEventListener("change", () => this.#nameOpponent());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  /** The last choice, as the fields of a new_match message. */
  choice() {
    return { ...this.#choice };
  }

  /** Take what the server offers. */
  offer({ opponents, stages }) {
    const able = opponents.filter((o) => o.available);
    if (!able.some((o) => o.name === this.#choice.opponent)) this.#choice.opponent = able[0]?.name ?? null;
    const rows = opponents.map((o) => ({ value: o.name, title: o.title, note: o.summary, disabled: !o.available }));
    fillChoices(this.#form.querySelector("#choose-opponent"), "opponent", rows, this.#choice.opponent);
    const stageRows = stages.map((s) => ({ value: s.name, title: s.title }));
    fillChoices(this.#form.querySelector("#choose-stage"), "stage", stageRows, this.#choice.stage);
    this.#nameOpponent();
  }

  /** The match now on the board is where the next choice starts from. */
  remember({ stage, opponent, human, first }) {
    this.#choice = { stage, opponent, side: human, first, seed: null };
  }

  open() {
    const { stage, opponent, side, first } = this.#choice;
    const wanted = { stage, opponent, side, first: first === side ? "you" : "them" };
    for (const [name, value] of Object.entries(wanted)) {
      const input = this.#form.querySelector(`input[name="${name}"][value="${value}"]`);
      if (input) input.checked = true;
    }
    this.#form.querySelector("#seed").value = "";
    this.#nameOpponent();
    this.#dialog.showModal();
  }

  #read() {
    const values = new FormData(this.#form);
    const seed = this.#form.querySelector("#seed").value.trim();
    const side = values.get("side");
    this.#choice = {
      stage: values.get("stage"),
      opponent: values.get("opponent"),
      side,
      first: values.get("first") === "you" ? side : other(side),
      seed: seed === "" ? null : Number(seed),
    };
  }

  #nameOpponent() {
    const title = this.#form.querySelector('input[name="opponent"]:checked')?.parentElement.querySelector("b")?.textContent;
    this.#form.querySelector("#first-them").textContent = title ?? "Opponent";
  }
}
