// The page of past matches: totals, the list, and opening a file.

import { fileUrl, listMatches, totals, upload } from "../api.js";
import { saveGif } from "../panels/about.js";
import { $, h, px, SIDES, signed } from "../dom.js";
import { titleOf } from "../names.js";
import { visit } from "../router.js";

let cursor = null;
let context = null;
let wired = false;

/** Fill the page anew. context: the game, to come back to a match that is not over. */
export async function showMatches(given) {
  context = given;
  wire();
  cursor = null;
  tell(null);
  try {
    const [list, sums] = await Promise.all([listMatches(null), totals()]);
    showTotals(sums.totals);
    $("list").replaceChildren();
    append(list);
  } catch (error) {
    tell(error.message);
  }
}

function wire() {
  if (wired) return;
  wired = true;
  $("upload").addEventListener("change", () => open($("upload")));
  $("more").addEventListener("click", async () => {
    try {
      append(await listMatches(cursor));
    } catch (error) {
      tell(error.message);
    }
  });
}

function tell(words) {
  $("matches-notice").textContent = words ?? "";
  $("matches-notice").hidden = !words;
}

/** Give a chosen file to the server, which checks it, and replay it. */
async function open(field) {
  const [file] = field.files;
  if (!file) return;
  tell(null);
  try {
    const limit = context.game.welcome?.upload_bytes;
    if (limit && file.size > limit) throw new Error(`The file has ${file.size.toLocaleString("en")} bytes; ${limit.toLocaleString("en")} are the most.`);
    const { match_id: id } = await upload(await file.text());
    visit(`#/replay/${encodeURIComponent(id)}`);
  } catch (error) {
    tell(`“${file.name}” cannot be replayed: ${error.message}`);
  } finally {
    field.value = ""; // so that the same file can be chosen again once it was mended
  }
}

function showTotals(rows) {
  if (rows.length === 0) {
    $("totals").replaceChildren(h("p", { class: "hint" }, "No match is finished yet."));
    return;
  }
  $("totals").replaceChildren(...rows.map(totalCard));
}

function totalCard({ opponent, played, won, lost, drawn, net_progress: net }) {
  const part = (name, count) => {
    const bar = h("i", { class: name });
    bar.style.flexGrow = count;
    return bar;
  };
  const words = `${won} won, ${drawn} drawn, ${lost} lost`;
  return h("article", { class: "total" },
    h("h3", {}, titleOf(context.game.welcome, opponent)),
    h("p", { class: "big" }, `${won}–${lost}`, drawn ? h("small", {}, ` ${drawn} drawn`) : null),
    h("div", { class: "shares", role: "img", "aria-label": words }, part("won", won), part("drawn", drawn), part("lost", lost)),
    h("p", { class: "hint small" }, `${played} played, ${signed(net)} px net on average`));
}

function append({ matches, next }) {
  cursor = next;
  $("more").hidden = !next;
  if (matches.length === 0 && !$("list").firstChild) {
    $("list").replaceChildren(h("p", { class: "hint" }, "None yet. The first match appears here as soon as it starts."));
    return;
  }
  $("list").append(...matches.map(row));
}

function row(match) {
  const id = match.match_id;
  const stage = context.game.welcome?.stages.find((item) => item.name === match.stage)?.title ?? match.stage;
  const when = new Date(match.created);
  const time = h("time", { datetime: match.created }, when.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }));
  const name = (side) => (match.players[side] === "human" ? "You" : titleOf(context.game.welcome, match.players[side]));
  const seats = SIDES.map((side) => h("span", { "data-side": side }, h("i", { class: "disc" }), name(side)));
  const label = `${name("p1")} against ${name("p2")}, ${stage}`;
  return h("article", { class: "match-row", "data-id": id, "aria-label": label },
    h("p", { class: "versus" }, seats[0], h("small", {}, "v"), seats[1]),
    h("p", { class: "meta" }, time, ` · ${stage} · seed ${match.seed}`, match.imported ? " · from a file" : ""),
    outcome(match, name),
    h("div", { class: "actions" }, ...actions(match)));
}

function outcome(match, name) {
  if (!match.result) return h("p", { class: "verdict open" }, `${match.turns} turns played`);
  const { winner, standing: { distances } } = match.result;
  const gap = px(Math.abs(distances.p1 - distances.p2));
  if (winner === null) return h("p", { class: "verdict" }, "A draw");
  const mine = match.human === null ? "" : winner === match.human ? "won" : "lost";
  const words = mine === "won" ? "You won" : mine === "lost" ? "You lost" : `${name(winner)} won`;
  return h("p", { class: `verdict ${mine}`, "data-side": winner }, words, h("small", {}, ` by ${gap}`));
}

function actions(match) {
  const id = match.match_id;
  const buttons = [h("a", { class: "button small", href: `#/replay/${encodeURIComponent(id)}` }, "Replay")];
  if (!match.result && !match.imported) buttons.push(h("button", { class: "button small", type: "button", onclick: () => goOn(id) }, "Continue"));
  buttons.push(h("a", { class: "button small", href: fileUrl(id), download: "" }, "JSON"));
  const told = h("span", { class: "hint small", role: "status" });
  buttons.push(h("button", { class: "button small", type: "button", onclick: (event) => saveGif(match, { button: event.currentTarget, told }) }, "GIF"), told);
  return buttons;
}

function goOn(id) {
  context.game.resume(id);
  visit("#/");
}
