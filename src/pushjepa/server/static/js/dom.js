// Small helpers for building the document. Words always go in as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element: attributes by name, "class" included; `on…` functions listen; children are nodes or words. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Set words only where they differ, so that a live region speaks once. */
export function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

export const px = (value, digits = 0) => `${value.toFixed(digits)} px`;
export const signed = (value) => `${Math.round(value) < 0 ? "−" : "+"}${Math.abs(value).toFixed(0)}`;
export const ratio = (value) => value.toFixed(2).replace("-", "−");
export const duration = (ms) => (ms < 950 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`);
export const other = (side) => (side === "p1" ? "p2" : "p1");
export const SIDES = ["p1", "p2"];
