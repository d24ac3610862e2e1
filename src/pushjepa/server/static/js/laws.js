// What the laws of physics are called, in which units they are told, and a few worlds to choose from.
// How far each may go, and what is usual, the server says in its welcome.

const steps = (low, high, step) => Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => Number((low + i * step).toFixed(3)));
const percent = (value) => `${Number((100 * value).toFixed(1))}%`;
const plain = (value) => Number(value.toFixed(2)).toLocaleString("en");

/** By name: what it is called, its value in words, what it does, and the values that a slider stops at. */
export const LAWS = {
  block_mass: { title: "Block weight", words: (value) => `${plain(value)} × an agent`, stops: [0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 16, 20] },
  block_scale: { title: "Block size", words: percent, stops: steps(0.5, 1.6, 0.1) },
  block_friction: { title: "Block friction", words: plain, stops: steps(0, 2, 0.2) },
  damping: { title: "Ice", words: (value) => `keeps ${percent(value)} of speed a second`, stops: [0, 0.02, ...steps(0.1, 1, 0.1)] },
  agent_speed: { title: "Agent speed", words: (value) => `${plain(value)} px/s`, stops: steps(50, 600, 50) },
  agent_force: { title: "Agent strength", words: (value) => `${plain(value)} px/s²`, stops: [1000, ...steps(2000, 20000, 2000)] },
};
const SHAPES = { tee: "T", plus: "Plus", square: "Square" };

/** Whole worlds; what a preset does not name is standard. */
export const PRESETS = [
  { title: "Standard", physics: {} },
  { title: "Heavy block", physics: { block_mass: 12 } },
  { title: "Giant block", physics: { block_scale: 1.6 } },
  { title: "Tiny block", physics: { block_scale: 0.5 } },
  { title: "Ice", physics: { damping: 0.9, block_friction: 0.1 } },
  { title: "Strong agents", physics: { agent_force: 20000, agent_speed: 600 } },
  { title: "Slow agents", physics: { agent_speed: 150 } },
];

export const shapeTitle = (name) => SHAPES[name] ?? name;

const times = (value, standard) => {
  const share = value / standard;
  return `${Number(share.toFixed(share >= 9.5 ? 0 : share < 0.1 ? 2 : 1))}×`;
};
const BELIEVED = {
  block_mass: (...pair) => `the block ${times(...pair)} as heavy`,
  block_scale: (...pair) => `the block ${times(...pair)} as large`,
  block_friction: (...pair) => `the block ${times(...pair)} as rough`,
  block_shape: (shape) => `the block shaped like a ${shape === "tee" ? "T" : shape}`,
  damping: (value) => `a floor that keeps ${Math.round(100 * value)}% of speed a second`,
  agent_speed: (...pair) => `agents ${times(...pair)} as fast`,
  agent_force: (...pair) => `agents ${times(...pair)} as strong`,
};

/** What a policy believes about the laws, in words beside the standard ones. */
export function beliefWords(beliefs) {
  if (!beliefs.length) return "the standard laws";
  return beliefs.map(({ name, value, standard }) => BELIEVED[name]?.(value, standard) ?? `${name} ${value}`).join(", ");
}

/** The standard laws; null as long as the server has not told them. */
export function usualLaws(welcome) {
  if (!welcome?.laws) return null;
  const { numbers, shape } = welcome.laws;
  return { ...Object.fromEntries(numbers.map(({ name, standard }) => [name, standard])), block_shape: shape };
}

export const sameLaws = (one, two) => Object.keys(two).every((name) => one[name] === two[name]);

/** The preset that is exactly these laws, or undefined. */
export function presetOf(physics, usual) {
  return PRESETS.find((preset) => sameLaws(physics, { ...usual, ...preset.physics }));
}

/** Each law that is not as usual, in words: "Block weight 12 × an agent". */
export function unusual(physics, usual) {
  return Object.keys(usual)
    .filter((name) => physics[name] !== usual[name])
    .map((name) => (name === "block_shape" ? `Block shape ${shapeTitle(physics[name])}` : `${LAWS[name]?.title ?? name} ${LAWS[name]?.words(physics[name]) ?? physics[name]}`));
}

/** The laws in a word or two: the name of a preset, the one law that differs, or how many do. */
export function worldName(physics, usual) {
  const [first, ...more] = unusual(physics, usual);
  return presetOf(physics, usual)?.title ?? (more.length ? `${more.length + 1} laws changed` : first);
}
