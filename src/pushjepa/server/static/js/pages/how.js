// "How it works": the idea in a few minutes, with the figures of the very model that plays, as the server tells them.

import { modelCard } from "../api.js";
import { $, h, px } from "../dom.js";
import { recallSearch } from "../memory.js";
import { figureOfSearch } from "./search-figure.js";

const count = (value) => value.toLocaleString("en");
const millions = (value) => (value >= 1e6 ? `${(value / 1e6).toFixed(1)} million` : count(value));
const PART_WORDS = {
  encoder: "frame → features", projector: "features → latent", actions: "a turn → latent", predictor: "what happens next", head: "latent → positions", scene: "latent → stage", unroll: "a turn, step by step", lift: "steps → predictor", anchor: "steps → latent", glimpses: "a closer look → latent", second: "a look at other blocks",
};

/** Fill the page. match: the one on the board, whose last plan is the illustration. */
export async function showHow(match) {
  const page = $("how");
  const turn = match?.history.findLast((past) => past.plan) ?? null;
  page.replaceChildren(opening());
  try {
    const [card] = await Promise.all([modelCard(), recallSearch(match, turn)]);
    page.append(look(card), imagine(card, match, turn), quality(card), lessons(card), training(card), fullCard(card));
  } catch (error) {
    const why = error.code === "unavailable" ? "No world model is loaded on this server, so there are no figures to show." : error.message;
    page.append(h("p", { class: "hint" }, why));
  }
}

function opening() {
  return h("header", {},
    h("h1", {}, "How it works"),
    h("p", { class: "lede" }, "You and the model push the same T. You see the board and think ahead; it sees only the picture of the board, and thinks ahead too, in a space of numbers that it made up for itself."),
    section("The game",
      "Amber owns the ring on the right, cyan the one on the left. Turn by turn one of them moves for half a second and the other stands still. After ten turns the side whose ring is nearer to the centre of the T has won; within one pixel it is a draw.",
      "A real physics engine plays out every move. The model never asks it anything: it sends a move and lives with what comes of it, as you do."));
}

function section(title, ...paragraphs) {
  return h("section", {}, h("h2", {}, title), ...paragraphs.filter(Boolean).map((words) => (typeof words === "string" ? h("p", {}, words) : words)));
}

function look({ history, frame_size: size, model, parts, parameters, name }) {
  const width = model.width;
  const flow = h("div", { class: "flow" },
    h("div", { class: "known" }, h("b", {}, `${history} frames`), h("small", {}, `${size} × ${size} pixels, one per turn`)),
    h("i", { "aria-hidden": "true" }, "→"),
    h("div", {}, h("b", {}, "encoder"), h("small", {}, `each frame becomes ${width} numbers`)),
    h("i", { "aria-hidden": "true" }, "→"),
    h("div", {}, h("b", {}, "predictor"), h("small", {}, `with a move: the next ${width} numbers`)),
    h("i", { "aria-hidden": "true" }, "→"),
    h("div", { class: "known" }, h("b", {}, "read-out"), h("small", {}, "where the discs and the T would be")));
  return section("It sees pixels and nothing else",
    `The model, ${name}, gets the last ${history} pictures. An encoder turns each into a latent: ${width} numbers that hold what matters and drop the rest. A predictor takes latents and a move, and says what the latent after that move will be. That is the trick of a joint-embedding predictive architecture (JEPA): it predicts in the latent space and never paints a picture.`,
    model.glimpse_hidden ? "Where the read-out finds a disc or the T, it takes a closer look at that spot and puts the latent right." : "",
    model.unroll_hidden ? "Its predictor has help: what the read-out finds in the latent goes, step by step, through a small simulator that the model has learned from recorded turns, and a transformer turns what comes of it into the next latent." : "",
    h("figure", {}, flow, h("figcaption", {}, "From pictures to an imagined position. A small read-out turns a latent back into positions, so that a future can be given a price, and so that you can see it.")),
    h("figure", {}, sizes(parts, parameters), h("figcaption", {}, `Where its ${millions(parameters)} parameters are.`)));
}

function sizes(parts, total) {
  const most = Math.max(...parts.map((part) => part.parameters));
  const rows = parts.map(({ name, parameters }) =>
    h("div", {}, h("dt", {}, h("span", {}, name), PART_WORDS[name] ? ` (${PART_WORDS[name]})` : ""), h("dd", { class: "rail" }, bar(parameters / most)), h("dd", { title: `${((100 * parameters) / total).toFixed(1)}%` }, count(parameters))));
  return h("dl", { class: "sizes" }, ...rows);
}

function bar(share) {
  const fill = h("i");
  fill.style.width = `${(100 * Math.max(0.01, Math.min(1, share))).toFixed(1)}%`;
  return fill;
}

function imagine(card, match, turn) {
  const text = "To choose a move it draws a crowd of random ones (half of Deep JEPA’s are such as a small network proposes), imagines each to its end, and gives each a price. JEPA’s is how far the T would be from its ring, counted twice, and how far its disc would be from the T; Sharp and Deep JEPA count by how much the T would be nearer to the other ring than to its own, and how far its disc would be from behind the T. Around the cheapest few it draws the next crowd, and so on. Deep JEPA judges the best of the last crowds by what the other side may answer. The best idea is played.";
  if (!turn?.trace) {
    return section("It thinks in crowds", text, h("p", { class: "hint" }, "Play a turn against a player that plans, then come back: its own search appears here."));
  }
  const [crowd, rounds, kept] = [turn.trace[0].costs.length, turn.trace.length, turn.trace[0].elites.length];
  return section("It thinks in crowds", text,
    h("figure", {}, figureOfSearch(match, turn),
      h("figcaption", {}, `Turn ${turn.turn + 1} of the match on your board: ${crowd} moves in each of ${rounds} rounds, the best ${kept} of which shape the next. From dark (dear) to bright (cheap): where each would take the T, and thinner, the disc. ${priceWords(turn.plan)}`)));
}

/** How the price of the best idea went. */
function priceWords({ cost_by_iteration: costs, cost, ms, reply }) {
  const [first, last] = [costs[0].toFixed(0), cost.toFixed(0)];
  return reply ? `The first round’s best cost ${first}; the move that was played, averaged over the answers to it, ${last}. It took ${ms.toFixed(0)} ms.` : `The price fell from ${first} to ${last} in ${ms.toFixed(0)} ms.`;
}

function quality({ measured }) {
  const rows = [
    ["reads the place of the T to", measured.decode_block_px, 60, (value) => px(value, 2)],
    ["reads its angle to", measured.decode_angle_deg, 60, (value) => `${value.toFixed(2)}°`],
    ["foresees the T to", measured.turn_block_px, 60, (value) => px(value, 1)],
    ["foresees its angle to", measured.turn_angle_deg, 60, (value) => `${value.toFixed(1)}°`],
    ["foresees its disc to", measured.turn_actor_px, 60, (value) => px(value, 1)],
  ].filter(([, value]) => value !== undefined);
  const gauges = rows.map(([what, value, most, words]) => h("div", { class: "gauge" }, h("dt", {}, what), h("dd", { class: "rail" }, bar(value / most)), h("dd", {}, words(value))));
  const ratio = measured.push_ratio;
  return section("What it knows, and what it does not",
    "Reading a picture is easy for it. Foreseeing a push is hard: a slightly different contact sends the T somewhere else. After every move the ghost on the board shows what it had expected.",
    h("figure", {}, h("dl", {}, ...gauges), h("figcaption", {}, "Mean errors on games that it never saw; the board is 512 px wide. The foreseen figures are one turn ahead, over turns that moved the T.",
      ratio === undefined ? "" : ` Its push ratio is ${ratio.toFixed(2)}${ratio.toFixed(2) === "1.00" ? "" : `: it believes in pushes ${ratio < 1 ? "weaker" : "stronger"} than the real ones`} (1 is right).`)));
}

function lessons({ loss, model, data }) {
  const weight = loss.sigreg === undefined ? "" : ` (weight ${loss.sigreg})`;
  const state = loss.state === undefined ? "" : ` (weight ${loss.state})`;
  return section("Why it does not cheat itself",
    `A model that is asked only to predict its own latents has an easy way out: make all latents equal. SIGReg${weight} bars it. It looks at the ${model.width} numbers along random directions and asks for a bell curve along each; what is spread out like that cannot have collapsed. No second, slower copy of the network is needed.`,
    `A second task${state} keeps the latents honest: from each one, the small read-out has to tell where the discs and the T are. That error flows back into the encoder, so that what a player needs to know stays in.`,
    data.acting === "step" ? "" : "One more lesson is in the data: in training, as in play, the same side acts for a whole turn. In a small trial, sides that alternated at every step made the forecast of the disc that moves a third worse.");
}

function training({ data, episodes, steps, phases, metrics, assembled }) {
  const told = episodes ? `It learned from ${count(episodes)} short episodes (${count(steps)} steps in all)` : "It learned from recorded episodes";
  const stages = data.stages?.length ? `, on the stages ${data.stages.join(", ")}` : "";
  const keys = Object.keys(metrics);
  const hours = keys.reduce((sum, key) => sum + (metrics[key].seconds ?? 0), 0) / 3600;
  const head = ["phase", "steps", "batch", "learning rate"].map((words) => h("th", { scope: "col" }, words));
  const rows = phases.map((phase) => h("tr", {}, h("td", {}, phase.kind), h("td", {}, count(phase.steps)), h("td", {}, String(phase.batch)), h("td", {}, String(phase.learning_rate))));
  const table = h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)));
  return section("How it was trained",
    `${told}${stages}: pushes, approaches, idle drifting.${assembled ? ` ${assembled}` : hours ? ` The phases took ${hours.toFixed(1)} hours in all.` : ""}`,
    phases.length ? h("figure", {}, table, h("figcaption", {}, assembled ? "The phases of its training, as the recipe has them." : "The phases of its training, one after another.")) : "");
}

function fullCard({ card }) {
  return h("section", {}, h("details", {}, h("summary", {}, "The whole model card"), h("pre", { tabindex: "0" }, card)),
    h("h2", {}, "Where it comes from"),
    h("p", {}, "The game and its opponent follow relay (SotoAlt); the recipe follows LeWorldModel (Maes, Le Lidec, Scieur, LeCun, Balestriero, 2026) and the read-out DexWM (Goswami et al., 2025)."));
}
