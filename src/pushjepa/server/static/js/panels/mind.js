// The plan behind a turn: how the search went, what it expected, and how that turned out.

import { $, duration, h, px, ratio, say } from "../dom.js";
import { lineChart } from "./chart.js";

let drawn = null;
let costs = null; // the chart

/** Show the plan of `turn`; `over` says whether its true end may be told yet. */
export function showMind(turn, name, { over }) {
  const key = `${turn?.turn}/${Boolean(turn?.trace)}/${over}/${name}/${turn?.plan?.cost}`;
  if (key === drawn) return;
  drawn = key;
  say($("mind-title"), turn ? `${name}’s plan in turn ${turn.turn + 1}` : "The plan");
  $("mind-body").hidden = !turn?.plan;
  $("mind-empty").hidden = Boolean(turn?.plan);
  if (!turn?.plan) return;
  $("mind-body").dataset.side = turn.side;
  showSearch(turn);
  showOutcome(turn, over);
}

/** There is no plan to show; `why` says the reason. */
export function showNoMind(why) {
  showMind(null, "", { over: false });
  say($("mind-empty"), why);
}

function showSearch({ plan, trace, telemetry }) {
  const count = trace ? trace.reduce((sum, iteration) => sum + iteration.costs.length, 0).toLocaleString("en") : "…";
  const context = telemetry.context === null ? "the state" : `${telemetry.context} frame${telemetry.context === 1 ? "" : "s"}`;
  fillFigures($("mind-figures"), [["thought for", duration(plan.ms)], ["futures", count], ["looked at", context]]);
  const values = plan.cost_by_iteration;
  const words = `Cost of the best idea by iteration${plan.reply ? ", at last averaged over answers" : ""}`;
  const label = `${words}: ${values.map((value) => value.toFixed(0)).join(", ")}`;
  costs = lineChart([{ name: "costs", values }], { height: 70, label, every: 1 });
  say($("cost-words"), words);
  $("cost").replaceChildren(costs.picture);
}

/** Mark the iteration that the board shows; null for none. */
export function markSearch(iteration) {
  if (!costs) return;
  const at = iteration === null ? "" : String(iteration);
  if ((costs.picture.dataset.at ?? "") === at) return;
  if (iteration === null) delete costs.picture.dataset.at;
  else {
    costs.picture.dataset.at = at;
    costs.picture.querySelector(".cursor").setAttribute("transform", `translate(${costs.x(iteration).toFixed(1)} 0)`);
  }
}

function showOutcome({ telemetry }, over) {
  const { block_error: block, agent_error: agent, push_ratio: pushed } = telemetry;
  const told = (value, words) => (over && value !== null ? words(value) : "–");
  fillFigures($("mind-outcome"), [
    ["block off by", told(block, (value) => px(value, 1))],
    ["agent off by", told(agent, (value) => px(value, 1))],
    ["push ratio", told(pushed, ratio)],
  ]);
}

export function fillFigures(list, rows) {
  list.replaceChildren(...rows.map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, value))));
}
