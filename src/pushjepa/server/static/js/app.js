// The page: joins socket, match, board and panels. The server knows the game; this only shows it.

import { Aim } from "./aim.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { $ } from "./dom.js";
import { Game } from "./game.js";
import { Guests } from "./guests.js";
import { namesOf } from "./names.js";
import { showMatches } from "./pages/matches.js";
import { showHow } from "./pages/how.js";
import { AdaptationPanel } from "./panels/adaptation.js";
import { LawsPanel } from "./panels/laws.js";
import { Panels } from "./panels/panels.js";
import { route, visit } from "./router.js";
import { Setup } from "./setup.js";
import { Stage } from "./stage.js";
import { STEPS } from "./match.js";
import { Theatre } from "./theatre.js";
import { Timeline } from "./timeline.js";

const connection = new Connection();
const game = new Game(connection);
const theatre = new Theatre();
const aim = new Aim($("board"));
const stage = new Stage($("board"));
const timeline = new Timeline();
const panels = new Panels(timeline, new LawsPanel(game), new AdaptationPanel(game));
const setup = new Setup(start);
const controls = new Controls({ game, theatre, aim, timeline, setup, start });
const guests = new Guests({ game, setup, panels, start });
const coarse = window.matchMedia("(pointer: coarse)");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/** Start a match; whatever page is shown, the board comes back. */
function start(choice) {
  panels.notice(null);
  game.newMatch(choice);
  visit("#/");
  if (document.activeElement !== document.body) $("board").focus({ preventScroll: true });
}

/** Everything that a panel or the board may want to know, at this moment. */
function pageNow() {
  const match = theatre.match;
  const { k, dream } = theatre.place;
  const names = namesOf(match, game.welcome);
  return {
    match, names, theatre, aim, k, dream,
    welcome: game.welcome,
    connected: game.connected,
    thinking: game.thinking,
    stuck: game.stuck,
    mover: names[match.sideOf(Math.min(match.turns - 1, Math.floor(theatre.liveAt / STEPS)))],
    mine: aim.enabled && !theatre.scrubbing,
    over: !theatre.replay && match.phase === "over" && match.result !== null && !theatre.behind,
    dreaming: dream !== null && !theatre.scrubbing,
    coarse: coarse.matches,
  };
}

/** Bring everything in line with what is known. */
function refresh() {
  panels.link(connection.state, game.welcome?.model);
  if (!theatre.match) return;
  letAim();
  const page = pageNow();
  panels.update(page);
  controls.update(page);
  expose(page);
}

/** The person aims when it is their turn, everything has been shown, and the board is live. */
function letAim() {
  const { match } = game;
  const may = match?.phase === "human" && !theatre.replay && !theatre.scrubbing && !theatre.behind && !game.sent && game.connected;
  if (may && !aim.enabled) aim.enable(match.human === "p1" ? match.state.slice(0, 2) : match.state.slice(2, 4));
  else if (!may && aim.enabled) aim.disable();
}

/** What a test or a curious person may read off the page; nothing here is ever read back. */
function expose({ match, over, mine, theatre: { replay, scrubbing, behind } }) {
  const data = document.body.dataset;
  data.human = match.human ?? "";
  data.match = match.match_id;
  data.turn = match.turn;
  data.aim = aim.waypoints.length;
  data.seed = match.seed;
  data.changes = JSON.stringify(match.changes.map((change) => change.turn));
  data.phase = replay ? "replay" : over ? "over" : mine ? "aim" : game.thinking ? "thinking" : "watch";
  data.mode = scrubbing ? "scrub" : "live";
  data.settled = !behind && !game.sent;
  data.end = JSON.stringify(match.stateAt(match.length));
}

let before = null;
let shown = { place: "", dreaming: false };

function frame(ms) {
  requestAnimationFrame(frame);
  const passed = ms - (before ?? ms);
  before = ms;
  if (!theatre.match) return;
  theatre.calm = calm.matches;
  theatre.tick(passed);
  if (theatre.match.spectated && !theatre.replay && !theatre.held && theatre.match.length - theatre.liveAt <= STEPS) game.next();
  const page = pageNow();
  if (stage.paint(page, ms) && !performance.getEntriesByName("first-board").length) performance.mark("first-board");
  const place = `${theatre.match.match_id}/${page.k}/${page.dream}/${theatre.liveAt}`;
  if ((page.dream !== null) !== shown.dreaming) refresh();
  if (place !== shown.place) panels.follow(page);
  shown = { place, dreaming: page.dream !== null };
  document.body.dataset.k = page.k;
}

game.addEventListener("change", refresh);
game.addEventListener("notice", ({ detail }) => panels.gameNotice(detail));
game.addEventListener("match", ({ detail }) => {
  if (!detail.sameTurn) aim.clear(); // who was aiming when the connection went goes on aiming
  setup.remember(game.match);
  if (!theatre.replay) theatre.showLive(game.match, detail);
  panels.recall(game.match, refresh);
});
game.addEventListener("turn", () => aim.clear());
theatre.addEventListener("change", refresh);
aim.addEventListener("change", refresh);

route(async ({ view, replay }) => {
  if (view === "matches") await showMatches({ game, start });
  else if (view === "how") await showHow(theatre.match);
  else if (replay) await guests.showReplay(replay, theatre, refresh);
  else if (game.match) theatre.showLive(game.match, { same: !theatre.replay });
});

requestAnimationFrame(frame);
connection.start();
