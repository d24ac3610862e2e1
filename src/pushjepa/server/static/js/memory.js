// What a match does not carry with its turns: the searches behind them and what the model saw. Fetched when needed.

import { decodedOf, planOf } from "./api.js";

const RETRY_MS = 5000;
const asked = new WeakMap(); // turn -> promise

/** Have the search behind a turn at hand; resolves when it is there, or when it is clear that there is none. */
export function recallSearch(match, turn) {
  if (!turn?.plan || turn.trace) return Promise.resolve();
  if (!asked.has(turn)) {
    const fetched = planOf(match.match_id, turn.turn).then(
      ({ trace }) => void (turn.trace = trace),
      () => void setTimeout(() => asked.delete(turn), RETRY_MS), // asked again later, not at once
    );
    asked.set(turn, fetched);
  }
  return asked.get(turn);
}

/** Fill in what the model read off every frame so far; gives the state of the model. A busy server is asked again. */
export async function recallDecoded(match) {
  const { state, decoded } = await decodedOf(match.match_id).catch((error) => {
    if (error.code !== "busy") throw error;
    return new Promise((later) => setTimeout(later, RETRY_MS)).then(() => decodedOf(match.match_id));
  });
  for (const view of decoded) match.decoded.set(view.turn, view);
  return state;
}
