// The match that is being played or watched live: what the server says about it, and what is asked of the server.
// The server is the referee; this only remembers.

import { Match } from "./match.js";

const KEPT = "pushjepa.match"; // this tab's match, so that a reload comes back to it
const MODE = "pushjepa.mode"; // whether policies shall adapt, for this person's next matches
const RELOADED = "pushjepa.reloaded";
const BUSY_MS = 3000; // before a busy server is asked again
const LOADING_MS = 1500; // before it is asked again whether the model is loaded

/**
 * Events: "welcome"; "match" when a match_state came (detail: whether it is the match and turn that were there before);
 * "turn" (detail: the turn); "decoded"; "gone" when the kept match is no longer there (detail: words); "notice" (detail: words for the person, or
 * null); "change" after any of them.
 */
export class Game extends EventTarget {
  welcome = null;
  match = null;
  thinking = false; // a policy is choosing its move
  sent = false; // a turn is on its way to the server
  stuck = false; // a policy failed; asking again may help
  changing = false; // other laws are on their way to the server
  steering = null; // the mode that the policies' minds are asked to take, until they have
  resumes = true; // come back to the kept match once there is a connection
  #connection;
  #trace = null; // of the plan whose turn_result is still to come
  #plan = null;
  #last = null; // the last request, for when the server was busy
  #retry = null; // the timer after which a busy server is asked again

  constructor(connection) {
    super();
    this.#connection = connection;
    connection.addEventListener("message", ({ detail }) => this.#handle(detail));
    connection.addEventListener("outdated", () => this.#outdated());
    connection.addEventListener("state", ({ detail }) => this.#onLink(detail));
  }

  get connected() {
    return this.#connection.state === "open";
  }

  /** Id of the match that this tab held before it was reloaded, or null. */
  get kept() {
    return sessionStorage.getItem(KEPT);
  }

  /** How policies that can adapt shall go about it: "adaptive" or "frozen". */
  get mode() {
    return localStorage.getItem(MODE) === "frozen" ? "frozen" : "adaptive";
  }

  /** Start a match; the fields are those of new_match. */
  newMatch(choice) {
    this.#request({ type: "new_match", mode: this.mode, ...choice });
  }

  resume(matchId) {
    this.#request({ type: "resume", match_id: matchId, mode: this.mode });
  }

  /** Play the person's turn. A second GO before the answer is not sent. */
  play(waypoints) {
    if (this.sent || this.match?.phase !== "human") return;
    this.sent = this.#request({ type: "human_turn", turn: this.match.turn, waypoints });
    this.#changed();
  }

  /** Let the policy whose move it is play, in a match that is only watched. */
  next() {
    const { match } = this;
    if (!match?.spectated || match.imported || match.phase !== "opponent" || this.thinking || this.sent || this.stuck || this.#retry !== null) return;
    this.sent = this.#request({ type: "next", turn: match.turn });
  }

  /** The turn from which a change of the laws would hold now; null if there is none left. */
  get nextChange() {
    const { match } = this;
    if (!match || match.imported || match.phase === "over") return null;
    const turn = match.turn + (this.thinking ? 1 : 0); // who thinks goes by the laws that it has seen
    return turn < match.turns ? turn : null;
  }

  /** Change the laws of physics from the next turn that nobody plans yet. */
  changePhysics(physics) {
    if (this.changing || this.nextChange === null) return;
    // Not the last request: that one is what a busy server is asked for again.
    this.changing = this.#connection.send({ type: "change_physics", physics });
    this.#changed();
  }

  /** Let the policies of this match adapt, or freeze them; the next match begins like that too. */
  adapt(mode) {
    localStorage.setItem(MODE, mode);
    this.#steer({ type: "adapt", mode }, mode);
  }

  /** Let the policies of this match forget what they adapted. */
  restore() {
    this.#steer({ type: "restore" }, this.steering ?? this.match?.minds.values().next().value?.mode ?? this.mode);
  }

  #steer(message, mode) {
    if (!this.match) return;
    this.steering = this.#connection.send({ ...message, match_id: this.match.match_id }) ? mode : null;
    this.#changed();
  }

  /** Ask a policy again that failed. */
  askAgain() {
    this.stuck = false;
    if (this.match.spectated) this.next();
    else this.resume(this.match.match_id);
  }

  say(words) {
    this.dispatchEvent(new CustomEvent("notice", { detail: words }));
  }

  #request(message) {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#last = message;
    if (this.#connection.send(message)) return true;
    this.say("There is no connection yet; try again in a moment.");
    return false;
  }

  #onLink(state) {
    if (state === "open") {
      this.#connection.send({ type: "hello" });
      if (this.kept && this.resumes) this.resume(this.kept);
    } else [this.sent, this.changing, this.steering] = [false, false, null];
    this.#changed();
  }

  #handle(message) {
    const handler = this.#handlers[message.type];
    if (!handler) return;
    // Whoever leaves a match may still hear the end of a sentence about it.
    const stray = message.match_id && message.type !== "match_state" && message.match_id !== this.match?.match_id;
    if (!stray) handler(message);
    this.#changed();
  }

  #handlers = {
    welcome: (message) => {
      sessionStorage.removeItem(RELOADED);
      this.welcome = message;
      if (message.model.state === "loading") setTimeout(() => this.#connection.send({ type: "hello" }), LOADING_MS);
      this.dispatchEvent(new Event("welcome"));
    },
    match_state: (message) => {
      const before = this.match;
      this.match = new Match(message);
      sessionStorage.setItem(KEPT, message.match_id);
      [this.thinking, this.sent, this.stuck, this.changing] = [false, false, false, false];
      [this.steering, this.#plan, this.#trace] = [null, null, null];
      const same = before?.match_id === message.match_id;
      if (same) carryOver(before, this.match);
      this.say(null);
      this.dispatchEvent(new CustomEvent("match", { detail: { same, sameTurn: same && before.turn === message.turn } }));
    },
    thinking: () => {
      [this.thinking, this.stuck, this.sent] = [true, false, false];
    },
    plan: ({ plan, trace }) => {
      [this.#plan, this.#trace] = [plan, trace];
    },
    turn_result: (message) => {
      const turn = { ...message, plan: this.#plan, trace: this.#trace };
      [this.#plan, this.#trace, this.thinking, this.sent] = [null, null, false, false];
      this.match.add(turn);
      const { standing, phase, odds, laws } = message;
      Object.assign(this.match, { state: message.states.at(-1), turn: message.turn + 1, standing, phase, odds, laws });
      this.say(null);
      this.dispatchEvent(new CustomEvent("turn", { detail: this.match.history.at(-1) }));
    },
    physics_changed: ({ changes, laws }) => {
      Object.assign(this.match, { changes, laws });
      this.changing = false;
    },
    mind: (message) => {
      this.match.minds.set(message.side, message);
      this.steering = null;
    },
    match_over: ({ winner, standing }) => {
      this.match.result = { winner, standing };
    },
    decoded: ({ turn, state, error }) => {
      this.match.decoded.set(turn, { turn, state, error });
      this.dispatchEvent(new Event("decoded"));
    },
    error: (message) => this.#fail(message),
  };

  #fail({ code, message }) {
    if ((this.changing || this.steering) && !["busy", "opponent_failed", "unknown_match"].includes(code)) {
      [this.changing, this.steering] = [false, null]; // all stays as it is, what was asked for besides included
      return this.say(sentence(message));
    }
    this.sent = false;
    if (code === "unknown_match") return this.#forget(message);
    if (code === "opponent_failed") [this.thinking, this.stuck] = [false, true];
    else if (code !== "busy" && this.#last?.type === "next") this.stuck = true; // asked again only when a person says so
    if (code === "busy" && this.#last) {
      this.thinking = false;
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#request(this.#again()), BUSY_MS);
      return this.say(`${sentence(message)} Asking again in a moment; nothing is lost.`);
    }
    return this.say(sentence(message));
  }

  /** What to ask a server that was busy. A turn may have been played all the same, so that is looked up, not sent twice. */
  #again() {
    return this.#last.type === "human_turn" ? { type: "resume", match_id: this.match.match_id, mode: this.mode } : this.#last;
  }

  /** The match of this tab is gone from the server; the page goes on without it. */
  #forget(message) {
    sessionStorage.removeItem(KEPT);
    this.dispatchEvent(new CustomEvent("gone", { detail: sentence(message) }));
  }

  /** Page and server speak different versions: one reload fetches the page that fits, if there is one. */
  #outdated() {
    if (!sessionStorage.getItem(RELOADED)) {
      sessionStorage.setItem(RELOADED, "yes");
      location.reload();
      return;
    }
    this.say("This page and the server do not fit each other: one of them is too old. Update the server, then reload the page.");
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** After a lost connection the searches and views that are already here need not be fetched again. */
function carryOver(before, now) {
  for (const [index, turn] of before.history.entries()) {
    if (now.history[index]) now.history[index].trace ??= turn.trace;
  }
  for (const [turn, view] of before.decoded) now.decoded.set(turn, view);
  for (const [side, mind] of before.minds) now.minds.set(side, mind);
  now.openingOdds ??= before.openingOdds;
}

export function sentence(words) {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
