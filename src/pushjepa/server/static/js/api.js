// What is asked for over HTTP. Every failure is an Error whose message can be shown to a person.

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`api/${path}`, options);
  } catch {
    throw new Error("The server cannot be reached.");
  }
  if (response.ok) return response.json();
  const told = await response.json().catch(() => ({}));
  throw Object.assign(new Error(told.message ?? `The server answered ${response.status}.`), { code: told.code });
}

const id = encodeURIComponent;

export const listMatches = (before) => ask(`matches?limit=20${before ? `&before=${id(before)}` : ""}`);
export const replayOf = (match) => ask(`matches/${id(match)}/replay`);
export const planOf = (match, turn) => ask(`matches/${id(match)}/plans/${turn}`);
export const decodedOf = (match) => ask(`matches/${id(match)}/decoded`);
export const totals = () => ask("totals");
export const modelCard = () => ask("model");
export const upload = (text) => ask("matches", { method: "POST", headers: { "Content-Type": "application/json" }, body: text });

export const fileUrl = (match) => `api/matches/${id(match)}`;
export const gifUrl = (match) => `api/matches/${id(match)}/gif`;
