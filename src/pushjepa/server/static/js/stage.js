// From the state of the page to the picture on the board.

import { reachablePath } from "./aiming.js";
import { Board } from "./board.js";
import { SIDES } from "./dom.js";
import { agentOf } from "./match.js";
import { pictureAt } from "./picture.js";

export class Stage {
  #board;
  #painted = "";

  constructor(canvas) {
    this.#board = new Board(canvas);
  }

  /** Paint the page's picture at time `ms`, if it differs from the one that is there; gives whether it did. */
  paint(page, ms) {
    const resized = this.#board.fit();
    const { theatre, match, aim } = page;
    const { k, dream } = theatre.place;
    const active = this.#active(page);
    const pulsing = active !== null && !theatre.calm;
    // Nothing moves when nothing happens: a page left open costs no battery.
    const search = match.turnAt(k)?.trace ? "+" : "-";
    const key = `${match.match_id}/${match.turn}/${k}/${dream}/${theatre.dreams}/${search}/${active}/${aim.enabled}/${aim.waypoints}/${aim.hover}/${page.names.p1.name}/${page.names.p2.name}/${JSON.stringify(match.lawsAt(match.lawTurn(k)))}`;
    if (!pulsing && !resized && key === this.#painted) return false;
    this.#painted = key;
    this.#board.paint(this.#view(page, active, pulsing ? (Math.sin(ms / 320) + 1) / 2 : 0));
    return true;
  }

  #active({ theatre, match, thinking, mine }) {
    if (theatre.scrubbing || theatre.behind) return null;
    if (mine) return match.human;
    return thinking ? match.sideOf(match.turn) : null;
  }

  #view(page, active, pulse) {
    const { theatre, match, names } = page;
    const of = (field) => Object.fromEntries(SIDES.map((side) => [side, names[side][field]]));
    const picture = pictureAt(match, theatre.place, { keepDream: theatre.dreams && theatre.scrubbing });
    // The person aims over a tidy board: what was expected of the last turn is told beside it.
    const ghost = page.aim.waypoints.length && page.mine ? null : picture.ghost;
    const scene = match.sceneAt(match.lawTurn(theatre.place.k));
    const before = picture.turn ? match.sceneAt(picture.turn.turn) : scene;
    return { ...picture, ghost, scene, before, labels: of("goal"), badges: of("badge"), active, pulse, aim: aimView(page) };
  }
}

function aimView({ aim, match, theatre, mine }) {
  if (!mine || theatre.scrubbing) return null;
  const legs = aim.preview ? [...aim.waypoints, aim.preview] : aim.waypoints;
  if (legs.length === 0) return null;
  const reach = reachablePath(agentOf(match.state, match.human), legs, match.lawsAt(match.turn));
  return { side: match.human, waypoints: aim.waypoints, preview: aim.preview, reach };
}
