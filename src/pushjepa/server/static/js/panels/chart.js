// Two small charts in SVG: values as lines over an index, with the few words that make them readable.

import { s } from "../dom.js";

/**
 * A line chart. lines: [{ values, name }], drawn in the colour of their class `name`.
 * Options: width and height in units of the view box, `at` to mark an index, `every` for vertical rules, `last` index.
 */
export function lineChart(lines, { width = 320, height = 90, last, every = 0, label, digits = 0 }) {
  const all = lines.flatMap((line) => line.values);
  const [low, high] = padded(Math.min(...all), Math.max(...all));
  const [left, right, top, bottom] = [34, 6, 6, 8];
  const end = last ?? Math.max(1, ...lines.map((line) => line.values.length - 1));
  const x = (i) => left + ((width - left - right) * i) / end;
  const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
  const picture = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (let i = every; every && i < end; i += every) picture.append(s("path", { class: "rule", d: `M${x(i)} ${top}V${height - bottom}` }));
  for (const value of ticks(low, high)) {
    picture.append(
      s("path", { class: value === 0 ? "zero" : "rule", d: `M${left} ${y(value).toFixed(1)}H${width - right}` }),
      s("text", { x: left - 6, y: (y(value) + 3.5).toFixed(1), "text-anchor": "end" }, value.toFixed(digits)),
    );
  }
  for (const { values, name } of lines) {
    const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
    picture.append(s("polyline", { class: `series ${name}`, points: points.join(" ") }));
    if (points.length === 1) picture.append(s("circle", { class: `series ${name}`, cx: x(0), cy: y(values[0]), r: 1.5 }));
  }
  picture.append(s("path", { class: "cursor", d: `M0 ${top}V${height - bottom}` }));
  return { picture, x };
}

function padded(low, high) {
  const room = Math.max(4, (high - low) * 0.08);
  return [low - room, high + room];
}

/** Two to four round numbers that lie between low and high. */
function ticks(low, high) {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Math.abs(value) < step / 1000 ? 0 : value);
  return found;
}
