// A match set-up as a link, and back. A link may have been edited by hand, so everything in it is checked.

import { SIDES } from "./dom.js";

const KEYS = ["stage", "opponent", "side", "first", "seed", "p1", "p2"];
const MAX_SEED = Number.MAX_SAFE_INTEGER;

/** The link to the start of a match. */
export function linkTo(match) {
  const url = new URL("./", document.baseURI);
  const who = match.spectated ? { p1: match.players.p1, p2: match.players.p2 } : { opponent: match.opponent, side: match.human };
  for (const [key, value] of Object.entries({ stage: match.stage, ...who, first: match.first, seed: match.seed })) {
    url.searchParams.set(key, value);
  }
  return url.href;
}

/** Whether an address asks for a match at all. */
export function asksForMatch(search) {
  const query = new URLSearchParams(search);
  return KEYS.some((key) => query.has(key));
}

/**
 * Read a link. Gives { choice } with the fields of new_match, or { problem } in words.
 * welcome: what the server offers.
 */
export function readLink(search, welcome) {
  const query = new URLSearchParams(search);
  const said = Object.fromEntries(KEYS.filter((key) => query.has(key)).map((key) => [key, query.get(key)]));
  try {
    return { choice: check(said, welcome) };
  } catch (problem) {
    return { problem: `That link cannot be played: ${problem.message}` };
  }
}

function check(said, { stages, opponents }) {
  const choice = {};
  if (said.stage !== undefined) choice.stage = oneOf("stage", said.stage, stages.map((stage) => stage.name));
  if (said.first !== undefined) choice.first = oneOf("first side", said.first, SIDES);
  if (said.seed !== undefined) choice.seed = seedOf(said.seed);
  const names = opponents.map((offer) => offer.name);
  if (said.p1 !== undefined || said.p2 !== undefined) {
    if (said.opponent !== undefined || said.side !== undefined) throw new Error("it names two players and an opponent as well.");
    choice.players = { p1: oneOf("player", said.p1, names), p2: oneOf("player", said.p2, names) };
  } else {
    if (said.opponent !== undefined) choice.opponent = oneOf("opponent", said.opponent, names);
    if (said.side !== undefined) choice.side = oneOf("side", said.side, SIDES);
  }
  return choice;
}

function oneOf(what, value, known) {
  if (value === undefined) throw new Error(`it leaves out one ${what}.`);
  if (!known.includes(value)) throw new Error(`there is no ${what} “${value.slice(0, 40)}”. It can be ${known.join(", ")}.`);
  return value;
}

function seedOf(value) {
  const seed = Number(value);
  if (!/^[0-9]+$/.test(value) || seed > MAX_SEED) throw new Error(`“${value.slice(0, 40)}” is not a seed; a seed is a whole number from 0 up.`);
  return seed;
}
