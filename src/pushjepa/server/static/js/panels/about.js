// What the match was set up with, and how to take it along.

import { fileUrl, gifUrl } from "../api.js";
import { $, h, say } from "../dom.js";
import { usualLaws, worldName } from "../laws.js";
import { linkTo } from "../share.js";

export function showAbout(match, names, welcome) {
  const stage = welcome?.stages.find((item) => item.name === match.stage)?.title ?? match.stage;
  const usual = usualLaws(welcome);
  const rows = [
    ["Stage", stage],
    ["Seed", String(match.seed)],
    ["Starts", names[match.first].name],
    ["Laws at the start", usual ? worldName(match.physics, usual) : "–"],
    ["Model", modelWords(welcome)],
  ];
  $("facts").replaceChildren(...rows.map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, value))));
  $("download").href = fileUrl(match.match_id);
  say($("share-told"), "");
}

function modelWords(welcome) {
  const model = welcome?.model;
  if (!model || model.state === "none") return "none";
  if (model.state !== "ready") return model.state;
  return model.parameters ? `${model.name}, ${(model.parameters / 1e6).toFixed(1)} M parameters` : model.name;
}

/** Put the link to the start of this match on the clipboard; without one, show it to be copied by hand. */
export async function share(match) {
  const link = linkTo(match);
  try {
    await navigator.clipboard.writeText(link);
    say($("share-told"), "Copied: the same start against the same opponent.");
  } catch {
    const field = h("input", { type: "text", readonly: true, value: link, "aria-label": "Link to this start" });
    $("share-told").replaceChildren(field);
    field.select();
  }
}

/** Have the server make the animation; `told` gets the words, `button` waits meanwhile. */
export async function saveGif(match, { button = $("gif"), told = $("share-told") } = {}) {
  say(told, "Making it …");
  button.disabled = true;
  try {
    await download(gifUrl(match.match_id), `pushjepa-match-${match.match_id}.gif`);
    say(told, "Saved.");
  } catch (error) {
    say(told, error.message);
  } finally {
    button.disabled = false;
  }
}

async function download(url, name) {
  const response = await fetch(url).catch(() => null);
  if (!response) throw new Error("The server cannot be reached.");
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).message ?? "That did not work.");
  const here = URL.createObjectURL(await response.blob());
  h("a", { href: here, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(here), 10_000);
}
