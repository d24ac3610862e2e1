// Everything beside the board: words, bars and figures. Reads plain data, touches only the document.

const FAR = 420; // px at which a bar is empty
const $ = (id) => document.getElementById(id);
const px = (value) => `${value.toFixed(0)} px`;

export function showLink(state, model) {
  const words = { connecting: "Connecting", open: "Connected", lost: "Reconnecting" };
  $("link").dataset.state = state === "open" && model?.state === "loading" ? "loading" : state;
  $("link-text").textContent = state === "open" && model?.state === "loading" ? "Loading the model" : words[state];
}

export function showFacts(parts) {
  $("facts").textContent = parts.filter(Boolean).join("  ·  ");
}

export function showNames(names) {
  for (const side of ["p1", "p2"]) $(`name-${side}`).textContent = names[side].name;
}

export function showTurn({ count, headline, hint }) {
  $("turn-count").textContent = count;
  if ($("headline").textContent !== headline) $("headline").textContent = headline;
  $("hint").textContent = hint;
}

/** The primary button and the one beside it: { text, enabled } each. */
export function showButtons(primary, second) {
  for (const [id, { text, enabled, plain }] of [["go", primary], ["clear", second]]) {
    $(`${id}-text`).textContent = text;
    $(id).disabled = !enabled;
    $(id).classList.toggle("plain", Boolean(plain));
  }
}

export function showNotice(words) {
  $("notice").textContent = words ?? "";
  $("notice").hidden = !words;
}

export function showThought(words) {
  $("thought").hidden = !words;
  if (words) $("thought-text").textContent = words;
}

/** One pip per turn in the colour of its side: played, being played, to come. */
export function showPips({ turns, turn, first, over }) {
  const second = first === "p1" ? "p2" : "p1";
  $("pips").replaceChildren(
    ...Array.from({ length: turns }, (_, i) => {
      const pip = document.createElement("li");
      pip.dataset.side = i % 2 ? second : first;
      pip.dataset.state = i < turn ? "played" : i === turn && !over ? "now" : "later";
      if (pip.dataset.state === "now") pip.setAttribute("aria-current", "step");
      pip.setAttribute("aria-label", `Turn ${i + 1}, ${pip.dataset.state === "later" ? "to come" : pip.dataset.state}`);
      return pip;
    }),
  );
}

/** Both sides' distance and progress; `start` are the distances at the beginning. */
export function showScore({ distances, progress, names, human }) {
  const other = human === "p1" ? "p2" : "p1";
  $("score").replaceChildren(...[human, other].map((side) => scoreRow(side, distances[side], progress[side], names)));
  for (const side of ["p1", "p2"]) $(`far-${side}`).textContent = px(distances[side]);
  const ahead = distances[other] - distances[human];
  $("lead").textContent =
    Math.abs(ahead) <= 1 ? "Dead level." : ahead > 0 ? `You lead by ${px(ahead)}.` : `${names[other].name} leads by ${px(-ahead)}.`;
  $("lead").dataset.side = Math.abs(ahead) <= 1 ? "" : ahead > 0 ? human : other;
}

function scoreRow(side, distance, gained, names) {
  const near = (value) => `${(100 * Math.max(0, Math.min(1, 1 - value / FAR))).toFixed(1)}%`;
  const row = element("div", "score-row");
  row.dataset.side = side;
  const head = element("div", "score-head");
  head.append(
    element("span", "who", names[side].name),
    element("span", "gain", `${gained < 0 ? "−" : "+"}${Math.abs(gained).toFixed(0)}`),
    element("span", "far", px(distance)),
  );
  const bar = element("div", "track");
  bar.setAttribute("role", "meter");
  bar.setAttribute("aria-label", `${names[side].name}: block is ${px(distance)} from the goal, ${gained.toFixed(0)} px nearer than at the start`);
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", String(FAR));
  bar.setAttribute("aria-valuenow", String(Math.round(Math.max(0, FAR - distance))));
  const fill = element("i", "fill");
  fill.style.width = near(distance);
  const tick = element("i", "tick");
  tick.style.left = near(distance + gained);
  tick.title = "at the start";
  bar.append(fill, tick);
  row.append(head, bar);
  return row;
}

/** The plan behind the opponent's last move, and how it turned out. */
export function showMind(plan, end, title) {
  $("mind-title").textContent = `${title}’s last plan`;
  $("mind-body").hidden = !plan;
  $("mind-empty").hidden = Boolean(plan);
  if (!plan) return;
  $("plan-ms").textContent = plan.ms < 950 ? `${plan.ms.toFixed(0)} ms` : `${(plan.ms / 1000).toFixed(1)} s`;
  $("plan-count").textContent = plan.trace.reduce((sum, t) => sum + t.costs.length, 0).toLocaleString("en");
  $("plan-miss").textContent = `${Math.hypot(plan.predicted[4] - end[4], plan.predicted[5] - end[5]).toFixed(1)} px`;
  $("plan-cost").textContent = `${plan.cost_by_iteration[0].toFixed(0)} → ${plan.cost.toFixed(0)}`;
  drawCost(plan.cost_by_iteration);
}

export function noPlans(title) {
  showMind(null, null, title);
  $("mind-empty").textContent = `${title} plays by a script and makes no plans.`;
}

export function awaitPlan(title) {
  showMind(null, null, title);
  $("mind-empty").textContent = "Appears after its first move.";
}

function drawCost(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const points = values.map((value, i) => [
    4 + (192 * i) / Math.max(1, values.length - 1),
    6 + 32 * (high > low ? (high - value) / (high - low) : 1),
  ]);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  path.setAttribute("points", points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "));
  $("cost-line").replaceChildren(path);
}

export function showResult({ winner, human, distances, names }) {
  const other = human === "p1" ? "p2" : "p1";
  $("result").hidden = false;
  $("result").dataset.side = winner ?? "";
  $("result-title").textContent = winner === null ? "A draw" : winner === human ? "You win" : `${names[other].name} wins`;
  const gap = Math.abs(distances[human] - distances[other]);
  $("result-text").textContent =
    winner === null ? "Both goals are equally near to the block." : `${winner === human ? "Your" : "Its"} goal is nearer to the block by ${gap.toFixed(1)} px.`;
  $("finish").replaceChildren(
    ...[human, other].map((side) => {
      const item = element("div", "");
      item.dataset.side = side;
      item.append(element("dt", "", names[side].name), element("dd", "", `${distances[side].toFixed(1)} px`));
      return item;
    }),
  );
}

export function hideResult() {
  $("result").hidden = true;
}

/** Radio buttons of one group from [{ value, title, note, disabled }]. */
export function fillChoices(box, group, items, chosen) {
  box.replaceChildren(
    ...items.map(({ value, title, note, disabled }) => {
      const label = element("label", "choice");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: group, value, disabled: Boolean(disabled) });
      input.checked = value === chosen;
      const words = element("span", "");
      words.append(element("b", "", title));
      if (note) words.append(element("small", "", note));
      label.append(input, words);
      return label;
    }),
  );
}

function element(tag, className, words) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (words !== undefined) node.textContent = words;
  return node;
}

