// Matches that come from outside: a link somebody sent, a stored match to be replayed, a match that is gone.

import { replayOf } from "./api.js";
import { Match } from "./match.js";
import { asksForMatch, readLink } from "./share.js";

export class Guests {
  #game;
  #setup;
  #panels;
  #start;
  #search = location.search;
  #settled = false; // the first match of this page has been decided

  constructor({ game, setup, panels, start }) {
    [this.#game, this.#setup, this.#panels, this.#start] = [game, setup, panels, start];
    this.#game.resumes = !asksForMatch(this.#search);
    game.addEventListener("welcome", () => this.#onWelcome());
    game.addEventListener("gone", ({ detail }) => {
      game.newMatch(setup.choice());
      panels.notice(`${detail} Here is a new one.`);
    });
  }

  /** The first welcome decides which match this page opens with. */
  #onWelcome() {
    this.#setup.offer(this.#game.welcome);
    if (this.#settled) return;
    this.#settled = true;
    if (!asksForMatch(this.#search)) {
      if (!this.#game.kept) this.#game.newMatch(this.#setup.choice());
      return;
    }
    // Once it was followed the link has done its work; a reload comes back to the match and does not start another.
    history.replaceState(null, "", location.pathname + location.hash);
    this.#game.resumes = true;
    this.#follow(readLink(this.#search, this.#game.welcome));
  }

  #follow({ choice, problem }) {
    if (choice) {
      this.#start(choice);
      return;
    }
    if (this.#game.kept) this.#game.resume(this.#game.kept);
    else this.#game.newMatch(this.#setup.choice());
    this.#panels.notice(problem);
  }

  /** Put a stored match on the board. */
  async showReplay(id, theatre, refresh) {
    try {
      const match = new Match(await replayOf(id));
      theatre.showReplay(match);
      this.#panels.recall(match, refresh);
    } catch (error) {
      this.#panels.notice(error.message);
      if (this.#game.match) theatre.showLive(this.#game.match, { same: false });
    }
  }
}
