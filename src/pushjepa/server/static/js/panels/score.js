// How it stands: distances, odds, and the course of the match so far.

import { $, h, other, px, say, SIDES, signed } from "../dom.js";
import { STEPS } from "../match.js";
import { lineChart } from "./chart.js";

const FAR = 420; // px at which a bar is empty

/** Show how the match stands at place k. */
export function showScore(match, k, names) {
  const [distances, progress] = [match.distancesAt(k), match.progressAt(k)];
  const order = match.human ? [match.human, other(match.human)] : SIDES;
  for (const side of SIDES) {
    say($(`name-${side}`), names[side].name);
    say($(`far-${side}`), px(distances[side]));
  }
  order.forEach((side, i) => updateRow(rowFor(i), side, distances[side], progress[side], names));
  showLead(match, distances, names);
  showOdds(match.oddsAt(k), names);
}

function showLead({ human }, distances, names) {
  const mine = human ?? "p1";
  const ahead = distances[other(mine)] - distances[mine];
  const level = Math.abs(ahead) <= 1;
  const leader = level ? null : ahead > 0 ? mine : other(mine);
  const who = leader === human ? "You lead" : `${leader && names[leader].name} leads`;
  say($("lead"), level ? "Dead level." : `${who} by ${px(Math.abs(ahead))}.`);
  $("lead").dataset.side = leader ?? "";
}

/** The two rows are made once and then only changed, so that bars glide and nothing is laid out anew. */
function rowFor(index) {
  const box = $("score");
  while (box.children.length <= index) {
    const bar = h("div", { class: "track", role: "meter", "aria-valuemin": 0, "aria-valuemax": FAR },
      h("i", { class: "fill" }), h("i", { class: "tick", title: "at the start" }));
    const head = h("div", { class: "score-head" }, h("span", { class: "who" }), h("span", { class: "gain" }), h("span", { class: "far" }));
    box.append(h("div", { class: "score-row" }, head, bar));
  }
  return box.children[index];
}

function updateRow(row, side, distance, gained, names) {
  const near = (value) => Math.max(0, Math.min(1, 1 - value / FAR));
  const [head, bar] = row.children;
  row.dataset.side = side;
  say(head.children[0], names[side].name);
  say(head.children[1], signed(gained));
  say(head.children[2], px(distance));
  bar.setAttribute("aria-label", `${names[side].name}: nearness of the block to the goal`);
  bar.setAttribute("aria-valuenow", String(Math.round(Math.max(0, FAR - distance))));
  bar.setAttribute("aria-valuetext", `${px(distance)} away, ${signed(gained)} since the start`);
  bar.children[0].style.transform = `scaleX(${near(distance).toFixed(4)})`;
  bar.children[1].style.left = `${(100 * near(distance + gained)).toFixed(1)}%`;
}

function showOdds(odds, names) {
  $("odds").hidden = !odds;
  if (!odds) return;
  const share = (side) => `${Math.round(100 * odds[side])}%`;
  $("odds-fill").style.transform = `scaleX(${odds.p1.toFixed(4)})`;
  for (const side of SIDES) say($(`odds-${side}`), share(side));
  const words = `Odds of winning: ${names.p1.name} ${share("p1")}, ${names.p2.name} ${share("p2")}`;
  $("odds").setAttribute("aria-label", words);
  $("odds").title = words;
}

let course = null;

/** Draw the progress of both sides after every step of the first `turns` turns. */
export function drawCourse(match, names, turns) {
  const series = (side) => Array.from({ length: STEPS * turns + 1 }, (_, k) => match.progressAt(k)[side]);
  const now = match.progressAt(STEPS * turns);
  const label = SIDES.map((side) => `${names[side].name} ${signed(now[side])}`).join(", ");
  course = lineChart(
    SIDES.map((side) => ({ name: side, values: series(side) })),
    { last: STEPS * match.turns, every: STEPS, label: `Progress in px: ${label}` },
  );
  $("course").replaceChildren(course.picture);
}

/** Mark place k in the chart. */
export function markCourse(k) {
  course?.picture.querySelector(".cursor").setAttribute("transform", `translate(${course.x(k).toFixed(1)} 0)`);
}
