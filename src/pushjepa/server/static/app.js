// The page: joins socket, aiming, drawing and panels. The server knows the game; this only shows it.

import { Aim } from "./aim.js";
import { reachablePath } from "./aiming.js";
import { Board, COLOURS } from "./board.js";
import { Connection } from "./connection.js";
import * as panel from "./panel.js";
import { Playback } from "./playback.js";
import { Setup } from "./setup.js";

const $ = (id) => document.getElementById(id);
const KEPT = "pushjepa.match"; // this tab's match, so that a reload comes back to it

const board = new Board($("board"));
const aim = new Aim($("board"));
const playback = new Playback();
const connection = new Connection();
const setup = new Setup($("setup"), (choice) => newMatch(choice));
const coarse = window.matchMedia("(pointer: coarse)");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

let welcome = null;
let match = null; // the newest match_state, kept up to date by later messages
let shown = null; // the turn last shown on the board: { from, states, side, plan }
let plan = null; // a plan whose turn_result is still to come
let thinking = false;
let dreaming = false; // the opponent's search is being shown
let sent = false; // a turn is on its way to the server
let stuck = false; // the opponent failed; asking again may help

// Messages ------------------------------------------------------------------------------------------------------------

const handlers = {
  welcome(message) {
    const first = welcome === null;
    welcome = message;
    setup.offer(message);
    panel.showLink(connection.state, message.model);
    if (message.model.state === "loading") setTimeout(() => connection.send({ type: "hello" }), 1500);
    if (first && !sessionStorage.getItem(KEPT)) newMatch(setup.choice());
    refresh();
  },
  match_state(message) {
    const same = match?.match_id === message.match_id && match.turn === message.turn;
    match = message;
    sessionStorage.setItem(KEPT, message.match_id);
    playback.reset();
    [thinking, sent, stuck, plan] = [false, false, false, null];
    const last = message.history.at(-1);
    shown = last ? { ...last, from: message.history.at(-2)?.states.at(-1) ?? message.start } : null;
    document.body.dataset.human = message.human;
    if (!same) aim.clear(); // who was aiming when the connection went goes on aiming
    setup.remember(message);
    panel.showNotice(null);
    panel.hideResult();
    panel.showNames(names());
    showStanding(message.standing);
    const planned = message.history.filter((turn) => turn.plan).at(-1);
    if (planned) panel.showMind(planned.plan, planned.states.at(-1), opponentTitle());
    else panel.awaitPlan(opponentTitle());
    settle();
  },
  thinking() {
    [thinking, stuck] = [true, false];
    refresh();
  },
  plan(message) {
    plan = message.plan;
  },
  turn_result(message) {
    const turn = { ...message, from: match.state, plan };
    [plan, match.state, match.turn, match.phase, match.next] = [null, message.states.at(-1), message.turn + 1, message.phase, message.next];
    if (message.side === match.human) sent = false;
    else thinking = false;
    aim.clear();
    aim.disable();
    panel.showNotice(null);
    playback.push({ ...turn, done: () => turnShown(turn) });
    refresh();
  },
  match_over(message) {
    match.result = { winner: message.winner, standing: message.standing };
  },
  error(message) {
    if (message.code === "unknown_match") {
      sessionStorage.removeItem(KEPT);
      newMatch(setup.choice());
      return;
    }
    if (message.code === "opponent_failed") [thinking, stuck] = [false, true];
    sent = false;
    panel.showNotice(message.code === "wrong_version" ? "The server was updated. Please reload the page." : message.message);
    settle();
  },
};

connection.addEventListener("message", ({ detail }) => handlers[detail.type]?.(detail));
connection.addEventListener("state", ({ detail }) => {
  panel.showLink(detail, welcome?.model);
  if (detail === "open") {
    connection.send({ type: "hello" });
    const kept = sessionStorage.getItem(KEPT);
    if (kept) connection.send({ type: "resume", match_id: kept });
  } else sent = false;
  settle();
});

function newMatch(choice) {
  if (!connection.send({ type: "new_match", ...choice })) panel.showNotice("There is no connection yet; try again in a moment.");
}

/** The same again, with the other side to start. */
function rematch() {
  newMatch({ ...setup.choice(), seed: null, first: match.first === "p1" ? "p2" : "p1" });
}

function go() {
  if (finished()) {
    rematch();
    return;
  }
  if (stuck) {
    connection.send({ type: "resume", match_id: match.match_id });
    return;
  }
  if (!aim.enabled || aim.waypoints.length === 0) return;
  sent = connection.send({ type: "human_turn", turn: match.turn, waypoints: aim.waypoints });
  if (sent) aim.disable();
  refresh();
}

// What the page shows -------------------------------------------------------------------------------------------------

function turnShown(turn) {
  shown = turn;
  showStanding(turn.standing);
  if (turn.plan) panel.showMind(turn.plan, turn.states.at(-1), opponentTitle());
  else if (turn.side !== match.human) panel.noPlans(opponentTitle());
  settle();
}

/** Bring aiming and the result in line with the match once nothing moves any more. */
function settle() {
  if (!match) return refresh();
  const mine = match.phase === "human" && !playback.busy && !sent && connection.state === "open";
  if (mine && !aim.enabled) aim.enable(agentAt(match.state, match.human));
  else if (!mine && aim.enabled) aim.disable();
  if (match.phase === "over" && match.result && !playback.busy && $("result").hidden) {
    panel.showResult({ ...match.result, distances: match.result.standing.distances, human: match.human, names: names() });
  }
  return refresh();
}

function refresh() {
  if (!match) return;
  const over = finished();
  document.body.dataset.phase = over ? "over" : aim.enabled ? "aim" : "watch";
  const stage = welcome?.stages.find((s) => s.name === match.stage)?.title ?? match.stage;
  panel.showFacts([stage, `seed ${match.seed}`, modelWords()]);
  panel.showPips({ turns: match.turns, turn: Math.max(0, match.turn - (playback.busy ? 1 : 0)), first: match.first, over });
  panel.showTurn(words(over));
  const aimed = aim.enabled && aim.waypoints.length > 0;
  if (over) panel.showButtons({ text: "Rematch", enabled: true, plain: true }, { text: "Change settings", enabled: true, plain: true });
  else panel.showButtons({ text: stuck ? "Ask again" : "GO", enabled: stuck || aimed }, { text: "Clear", enabled: aimed });
}

function finished() {
  return match?.phase === "over" && !playback.busy;
}

function words(over) {
  const them = opponentTitle();
  const count = over ? `All ${match.turns} turns played` : `Turn ${Math.min(match.turn + (playback.busy ? 0 : 1), match.turns)} of ${match.turns}`;
  const left = Math.ceil((match.turns - match.turn) / 2);
  if (connection.state !== "open") return { count, headline: "Connection lost", hint: "Your match is safe. Trying to come back to it." };
  if (over) return { count, headline: "Again?", hint: "In a rematch the other side starts, from a new position." };
  if (stuck) return { count, headline: `${them} is stuck`, hint: "The match is safe; ask it again." };
  if (aim.enabled) {
    const placed = aim.waypoints.length;
    const hint = placed === 0
      ? `${coarse.matches ? "Tap" : "Click"} up to three way-points and push the T into the ${match.human === "p1" ? "amber" : "cyan"} ring.`
      : placed < 3 ? "The solid line is as far as you get this turn. Add a way-point, or go." : "That is all three. Go!";
    return { count, headline: left === 1 && match.turn >= match.turns - 2 ? "Your last move" : "Your move", hint };
  }
  if (dreaming) return { count, headline: `${them} imagines`, hint: "Each dot is where one imagined move would leave the block." };
  if (thinking && !playback.busy) return { count, headline: `${them} is thinking`, hint: thinkingHint() };
  return { count, headline: match.turn > 0 && playback.busy ? "Watch" : "One moment", hint: "The physics has the last word." };
}

function thinkingHint() {
  if (welcome?.model.state === "loading") return "The world model is still loading; this takes a few seconds.";
  return match.opponent === "jepa" ? "It imagines hundreds of futures in latent space." : "It is choosing its move.";
}

function modelWords() {
  if (match.opponent !== "jepa" || !welcome?.model.name) return "";
  const count = welcome.model.parameters;
  return count ? `${welcome.model.name} model, ${(count / 1e6).toFixed(1)} M parameters` : `${welcome.model.name} model`;
}

function showStanding({ distances, progress }) {
  panel.showScore({ distances, progress, names: names(), human: match.human });
}

function opponentTitle() {
  return welcome?.opponents.find((o) => o.name === match.opponent)?.title ?? match.opponent;
}

function names() {
  const them = opponentTitle();
  const other = match.human === "p1" ? "p2" : "p1";
  return { [match.human]: { name: "You", goal: "YOUR GOAL" }, [other]: { name: them, goal: `${them.toUpperCase()}’S GOAL` } };
}

function agentAt(state, side) {
  return side === "p1" ? state.slice(0, 2) : state.slice(2, 4);
}

// Drawing -------------------------------------------------------------------------------------------------------------

let painted = "";

function draw(ms) {
  requestAnimationFrame(draw);
  if (!match) return;
  const playing = playback.frame(ms);
  if (Boolean(playing?.dreaming) !== dreaming) {
    dreaming = !dreaming;
    refresh();
  }
  const resized = board.fit();
  const pulse = calm.matches ? 0 : (Math.sin(ms / 320) + 1) / 2;
  const busy = playing || aim.enabled || thinking;
  // Nothing moves when nothing happens: a page left open costs no battery.
  const key = busy ? "" : `${match.match_id}/${match.turn}/${shown?.turn}/${aim.waypoints.length}`;
  if (!busy && !resized && key === painted) return;
  painted = key;
  board.paint(view(playing, pulse));
  panel.showThought(thought(playing));
}

function view(playing, pulse) {
  const other = match.human === "p1" ? "p2" : "p1";
  const base = { scene: match.scene, names: names(), human: match.human, pulse, lines: true };
  if (playing) {
    const dream = playing.dream && { points: playing.dream, colour: COLOURS[playing.side] };
    const ghost = playing.ghost && { state: playing.ghost, side: playing.side };
    return { ...base, state: playing.state, active: null, dream, ghost, trail: { points: playing.trail, side: playing.side } };
  }
  const trail = shown && { points: [shown.from, ...shown.states].map((s) => agentAt(s, shown.side)), side: shown.side };
  const ghost = shown?.plan && { state: shown.plan.predicted, side: shown.side };
  const legs = aim.preview ? [...aim.waypoints, aim.preview] : aim.waypoints;
  const reach = legs.length ? reachablePath(agentAt(match.state, match.human), legs, match.physics) : null;
  return {
    ...base,
    state: match.state,
    active: aim.enabled ? match.human : thinking ? other : null,
    trail,
    ghost,
    from: shown?.from,
    aim: aim.waypoints,
    preview: aim.preview,
    reach,
  };
}

function thought(playing) {
  if (playing?.dreaming) return `${opponentTitle()} imagines`;
  if (thinking && !playing) return welcome?.model.state === "loading" ? "Loading the world model" : `${opponentTitle()} is thinking`;
  return null;
}

// Controls ------------------------------------------------------------------------------------------------------------

aim.addEventListener("change", refresh);
aim.addEventListener("go", go);
$("go").addEventListener("click", go);
$("clear").addEventListener("click", () => (finished() ? setup.open() : aim.clear()));
$("open-setup").addEventListener("click", () => setup.open());

requestAnimationFrame(draw);
connection.start();
