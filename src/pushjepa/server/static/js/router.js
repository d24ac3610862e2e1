// Which page is shown, by the part of the address behind the #.

import { $ } from "./dom.js";

const TITLES = { play: "PushJEPA", matches: "Matches · PushJEPA", how: "How it works · PushJEPA" };

/** Call `show({ view, replay })` now and whenever the address changes; view is play, matches or how. */
export function route(show) {
  const go = () => {
    const hash = location.hash;
    if (hash && !hash.startsWith("#/")) return; // a link within the page
    const [view, id] = hash.slice(2).split("/");
    const known = view === "matches" || view === "how" ? view : "play";
    reveal(known);
    show({ view: known, replay: view === "replay" && id ? decodeURIComponent(id) : null });
  };
  window.addEventListener("hashchange", go);
  go();
}

function reveal(view) {
  for (const page of Object.keys(TITLES)) $(page).hidden = page !== view;
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (document.body.dataset.view !== view) window.scrollTo(0, 0);
  document.body.dataset.view = view;
  document.title = TITLES[view];
}

/** Go to a page, or show it again. */
export function visit(hash) {
  if (location.hash === hash || (hash === "#/" && location.hash === "")) window.dispatchEvent(new Event("hashchange"));
  else location.hash = hash;
}
