// All that stands around the board. `update` after anything happened, `follow` on every frame that moves.

import { $, say } from "../dom.js";
import { usualLaws } from "../laws.js";
import { STEPS } from "../match.js";
import { recallDecoded, recallSearch } from "../memory.js";
import { placeWords } from "../timeline.js";
import { showAbout } from "./about.js";
import { markSearch, showMind, showNoMind } from "./mind.js";
import { markPast, showPast } from "./past.js";
import { drawCourse, markCourse, showScore } from "./score.js";
import { showSeen } from "./sees.js";
import { showButtons, showResult, showThought, showTurn, spokenTurn, turnWords } from "./turn.js";

const LINK_WORDS = { connecting: "Connecting", open: "Connected", lost: "Reconnecting" };

export class Panels {
  #timeline;
  #laws;
  #adaptation;
  #built = "";
  #spoken = { match: null, turns: 0, headline: "" };
  #gameWords = null;

  constructor(timeline, laws, adaptation) {
    [this.#timeline, this.#laws, this.#adaptation] = [timeline, laws, adaptation];
    $("notice-close").addEventListener("click", () => this.notice(null));
  }

  link(state, model) {
    const loading = state === "open" && model?.state === "loading";
    $("link").dataset.state = loading ? "loading" : state;
    say($("link-text"), loading ? "Loading the model" : LINK_WORDS[state]);
  }

  /** Say something that stays until it is dismissed or something new is said; null takes it away. */
  notice(words) {
    this.#gameWords = null;
    say($("notice-text"), words ?? "");
    $("notice").hidden = !words;
  }

  /** What the game says; it goes by itself once the game has nothing to complain of. */
  gameNotice(words) {
    if (words === null && this.#gameWords === null) return;
    this.notice(words);
    this.#gameWords = words;
  }

  /** Fetch what a match does not carry with its turns, then call `done`. */
  recall(match, done) {
    recallDecoded(match).then(done, () => {}); // without it the panel stays empty and says so
  }

  update(page) {
    const { match, names, theatre } = page;
    const count = theatre.replay ? match.history.length : Math.floor(theatre.liveAt / STEPS);
    this.#build(page, count);
    this.#timeline.build(match, names, usualLaws(page.welcome));
    this.#laws.update(page);
    this.#adaptation.update(page);
    showTurn(turnWords(page));
    this.#buttons(page);
    this.#overBoard(page);
    this.#speak(page, count);
    this.follow(page);
  }

  follow(page) {
    const { match, names, theatre, k } = page;
    showScore(match, k, names);
    markCourse(k);
    this.#timeline.show(k, theatre.replay ? k : theatre.liveAt, placeWords(match, page, names, usualLaws(page.welcome)));
    this.#laws.follow(page);
    markPast(page.dream === null ? Math.ceil(k / STEPS) - 1 : -1);
    showSeen(match, k, names, page.welcome?.model.state);
    this.#mind(page);
    this.#search(page);
    // One pill at a time: a search that is shown again says more than that it is past.
    $("place").hidden = !theatre.scrubbing || theatre.replay || page.dream !== null;
  }

  /** How far the search is that the board shows. */
  #search({ match, names, k, dream }) {
    const turn = dream === null ? null : match.history[Math.floor(k / STEPS)];
    const iteration = turn && Math.min(turn.trace.length - 1, Math.floor(dream));
    markSearch(iteration);
    if (turn) showThought(`${names[turn.side].name} imagines, round ${iteration + 1} of ${turn.trace.length}`, turn.side);
  }

  /** What changes only with the number of turns, or with the names. */
  #build({ match, names, welcome }, count) {
    const key = `${match.match_id}/${count}/${names.p1.name}/${names.p2.name}/${welcome?.model.state}`;
    if (key === this.#built) return;
    this.#built = key;
    drawCourse(match, names, count);
    showPast(match, count, names, (k) => this.#timeline.dispatchEvent(new CustomEvent("scrub", { detail: k })));
    showAbout(match, names, welcome);
  }

  #mind({ match, names, k, dream }) {
    const at = dream === null ? Math.ceil(k / STEPS) - 1 : Math.floor(k / STEPS);
    const turn = match.history.slice(0, at + 1).findLast((past) => past.plan);
    if (turn) {
      recallSearch(match, turn);
      return showMind(turn, names[turn.side].name, { over: k >= STEPS * (turn.turn + 1) });
    }
    const script = match.history.slice(0, at + 1).find((past) => past.player !== "human");
    return showNoMind(script ? `${names[script.side].name} plays by a script and makes no plans.` : "Appears with the first planned move.");
  }

  #buttons({ over, stuck, mine, aim, theatre, match }) {
    const aimed = mine && aim.waypoints.length > 0;
    const none = { text: "Undo", enabled: false, hidden: true };
    if (theatre.replay) return showButtons({ text: "Play it yourself", enabled: true, plain: true }, none, { text: "Close", enabled: true, plain: false });
    if (theatre.scrubbing) return showButtons({ text: "Back to live", enabled: true, plain: true }, none, { text: "Live", enabled: true, hidden: true });
    if (over) return showButtons({ text: match.spectated ? "Swap sides" : "Rematch", enabled: true, plain: true }, none, { text: "New position", enabled: true, plain: true });
    if (stuck) return showButtons({ text: "Ask again", enabled: true, plain: true }, none, { text: "Clear", enabled: false, hidden: true });
    if (match.spectated) return showButtons({ text: theatre.held ? "Go on" : "Pause", enabled: true, plain: true }, none, { text: "Clear", enabled: false, hidden: true });
    return showButtons({ text: "GO", enabled: aimed }, { text: "Undo", enabled: aimed }, { text: "Clear", enabled: aimed });
  }

  #overBoard(page) {
    const { match, names, theatre, over, thinking, mover } = page;
    const ended = over || (theatre.replay && match.result);
    const atEnd = page.k >= match.length && !theatre.playing;
    $("result").hidden = !(ended && atEnd && match.result);
    if (!$("result").hidden) showResult(match, names);
    const waits = thinking && !theatre.behind && !theatre.scrubbing && !theatre.replay;
    const loading = page.welcome?.model.state === "loading" ? "Loading the world model" : `${mover.name} is thinking`;
    if (page.dream === null) showThought(waits ? loading : null, match.sideOf(Math.min(match.turns - 1, Math.floor(theatre.liveAt / STEPS))));
    $("banner").hidden = !theatre.replay;
    if (theatre.replay) say($("banner-text"), replayWords(match, names));
  }

  /** Tell those who listen instead of looking: each turn once, then whose turn it is. */
  #speak(page, count) {
    const { match, names, theatre } = page;
    if (theatre.replay || theatre.scrubbing) return;
    const { headline } = turnWords(page);
    const fresh = this.#spoken.match === match.match_id && count > this.#spoken.turns && match.history[count - 1];
    if (fresh) say($("announcer"), `${spokenTurn(match, match.history[count - 1], names)} ${headline}.`);
    else if (headline !== this.#spoken.headline && !theatre.behind) say($("announcer"), `${headline}.`);
    this.#spoken = { match: match.match_id, turns: count, headline };
  }
}

function replayWords(match, names) {
  const when = match.imported ? "from a file" : "from the server";
  return `Replay: ${names.p1.name} v ${names.p2.name}, ${when}`;
}
