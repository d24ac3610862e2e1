// Which match is on the board and at which place: live, scrubbed, or a replay. Scrubbing never touches the live match,
// which goes on behind it.

import { STEPS } from "./match.js";
import { recallSearch } from "./memory.js";
import { Playhead } from "./playhead.js";

const CALM_REST_MS = 900; // how long each position stays where motion is not wanted

export class Theatre extends EventTarget {
  match = null;
  replay = false; // the match is not the live one
  scrubbing = false; // the board shows another place than the live one
  playing = false; // the shown place moves on by itself
  held = false; // a watched match is paused
  loop = false;
  speed = 1;
  dreams = true; // searches are shown
  calm = false;
  #live = new Playhead();
  #viewer = new Playhead();

  /** Put the live match on the board; a match that is already there goes on from the place that was reached. */
  showLive(match, { same }) {
    const going = same && !this.replay && this.match && this.#live.k <= match.length;
    this.match = match;
    this.replay = false;
    if (!going) {
      this.#live.jump(match.length, true);
      [this.scrubbing, this.playing, this.held] = [false, false, false];
    }
    this.#changed();
  }

  /** Put a stored match on the board, from its start, playing. */
  showReplay(match) {
    Object.assign(this, { match, replay: true, scrubbing: true, playing: true, held: false });
    this.#viewer.jump(0);
    recallSearch(match, match.history[0]);
    this.#changed();
  }

  /** Where the board is: { k, dream }. */
  get place() {
    const { k, dream } = this.scrubbing ? this.#viewer : this.#live;
    return this.calm ? { k: Math.floor(k), dream: null } : { k, dream };
  }

  /** Whether the live place has still something to show. */
  get behind() {
    return this.match !== null && !this.replay && this.#live.busy(this.match.length);
  }

  /** The live place, which goes on while another one is shown. */
  get liveAt() {
    return this.#live.k;
  }

  /** Show place k. */
  scrub(k, { keepPlaying = false } = {}) {
    this.scrubbing = true;
    this.playing = this.playing && keepPlaying;
    this.#viewer.jump(Math.max(0, Math.min(this.match.length, k)), true);
    recallSearch(this.match, this.match.turnAt(this.#viewer.k));
    this.#changed();
  }

  /** Show the search behind a turn again, and then the turn. */
  async rethink(turn) {
    await recallSearch(this.match, turn);
    this.scrub(STEPS * turn.turn);
    this.#viewer.jump(STEPS * turn.turn);
    [this.playing, this.dreams] = [true, true];
    this.#changed();
  }

  toLive() {
    if (this.replay || !this.scrubbing) return;
    [this.scrubbing, this.playing] = [false, false];
    this.#changed();
  }

  /** Play or pause. In a match that is watched live, that holds the match itself. */
  toggle() {
    if (!this.scrubbing && this.match.spectated && this.match.phase !== "over") this.held = !this.held;
    else if (this.playing) this.playing = false;
    else this.#play();
    this.#changed();
  }

  get running() {
    return this.scrubbing ? this.playing : this.match?.spectated && this.match.phase !== "over" && !this.held;
  }

  #play() {
    if (!this.scrubbing || this.#viewer.k >= this.match.length) this.#viewer.jump(0);
    recallSearch(this.match, this.match.history[0]);
    [this.scrubbing, this.playing] = [true, true];
  }

  /** Time goes on. */
  tick(ms) {
    const { match, calm } = this;
    if (!match) return;
    const rest = calm ? CALM_REST_MS : undefined;
    if (!this.replay && !this.held) this.#advanceLive(ms);
    if (!this.scrubbing || !this.playing) return;
    const before = this.#viewer.k;
    this.#viewer.advance(match, ms * this.speed, { dreams: this.dreams, calm, rest });
    if (Math.floor(before / STEPS) !== Math.floor(this.#viewer.k / STEPS)) this.#lookAhead();
    if (this.#viewer.busy(match.length)) return;
    if (this.loop) this.#viewer.jump(0);
    else {
      this.playing = false;
      this.#changed();
    }
  }

  #advanceLive(ms) {
    const was = this.#live.busy(this.match.length);
    const speed = this.match.spectated ? this.speed : 1;
    const turns = Math.floor(this.#live.k / STEPS);
    this.#live.advance(this.match, ms * speed, { dreams: this.dreams, calm: this.calm });
    if (Math.floor(this.#live.k / STEPS) !== turns || (was && !this.#live.busy(this.match.length))) this.#changed();
  }

  /** Have the next searches at hand before they are due. */
  #lookAhead() {
    const next = Math.floor(this.#viewer.k / STEPS);
    for (const turn of this.match.history.slice(next, next + 2)) recallSearch(this.match, turn);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
