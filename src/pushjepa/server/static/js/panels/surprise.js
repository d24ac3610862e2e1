// How surprised a world model was at every turn, as a picture: bars and the drift that may raise an alarm.

import { s } from "../dom.js";

const [WIDTH, HEIGHT] = [320, 118];
const [LEFT, RIGHT, TOP, BOTTOM] = [34, 6, 8, 16];
const LOW = -2; // standard deviations; that a turn went better than usual needs no more room

/** The chart of a mind message over `turns` turns; it has the same size and axes whether or not there are events. */
export function surpriseChart({ events, threshold }, turns) {
  const high = Math.max(4.5, threshold * 1.15, ...events.map((event) => event.drift + 0.3));
  const slot = (WIDTH - LEFT - RIGHT) / turns;
  const x = (turn) => LEFT + slot * (turn - 0.5);
  const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - Math.max(LOW, value))) / (high - LOW);
  const picture = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": chartWords(events) });
  for (let turn = 1; turn <= turns; turn += 1) picture.append(s("text", { x: x(turn), y: HEIGHT - 3, "text-anchor": "middle" }, turn));
  picture.append(...level("zero", "usual", 0, y), ...level("limit", "alarm", threshold, y));
  for (const event of events) picture.append(bar(event, x(event.turn), 0.56 * slot, y));
  if (events.length) picture.append(s("polyline", { class: "drift", points: driftPoints(events, x, y).join(" ") }));
  for (const { turn, drift, alarm } of events) if (alarm) picture.append(diamond(x(turn), y(drift)));
  return picture;
}

/** A line across with its name. */
function level(kind, name, value, y) {
  const at = y(value).toFixed(1);
  return [s("path", { class: kind, d: `M${LEFT} ${at}H${WIDTH - RIGHT}` }), s("text", { x: LEFT - 6, y: (y(value) + 3.5).toFixed(1), "text-anchor": "end" }, name)];
}

function bar(event, x, width, y) {
  const [top, foot] = [Math.min(y(event.level), y(0)), Math.max(y(event.level), y(0))];
  const kind = event.act ? "acted" : event.level > 0 ? "odd" : "calm";
  return s("rect", { class: `surprise ${kind}`, x: (x - width / 2).toFixed(1), y: top.toFixed(1), width: width.toFixed(1), height: Math.max(1.5, foot - top).toFixed(1), rx: 2 },
    s("title", {}, eventWords(event)));
}

/** The sum begins anew after an alarm, so the line falls there. */
function driftPoints(events, x, y) {
  const at = (turn, value) => `${x(turn).toFixed(1)},${y(value).toFixed(1)}`;
  return [at(0.5, 0), ...events.flatMap(({ turn, drift, alarm }) => (alarm ? [at(turn, drift), at(turn, 0)] : [at(turn, drift)]))];
}

function diamond(x, y) {
  return s("path", { class: "alarm", d: `M${x.toFixed(1)} ${(y - 5.5).toFixed(1)}l5.5 5.5-5.5 5.5-5.5-5.5z` });
}

function eventWords({ turn, px, level, alarm }) {
  const side = level < 0 ? "below" : "above";
  return `turn ${turn}: ${px.toFixed(0)} px off, ${Math.abs(level).toFixed(1)} ${side} the usual${alarm ? ", alarm" : ""}`;
}

function chartWords(events) {
  if (!events.length) return "Surprise by turn: none was scored yet";
  return `Surprise by turn, in standard deviations from the usual: ${events.map(eventWords).join("; ")}`;
}
