// The colours that the canvas shares with the style sheet.

export const COLOURS = {
  floor: "#131722", wall: "#343b4d", p1: "#ffb02e", p2: "#28cce8", block: "#eceef4", ink: "#eceef4", dark: "#10131a",
};

// Dear to cheap; neither end is close to a side's colour.
const RAMP = [[84, 62, 148], [140, 72, 176], [222, 84, 140], [255, 132, 104], [240, 246, 150]];

/** The colour of a candidate; 0 is the dearest, 1 the cheapest. */
export function heat(share, opacity) {
  const at = Math.max(0, Math.min(1, share)) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(at));
  const [r, g, b] = RAMP[low].map((value, i) => Math.round(value + (RAMP[low + 1][i] - value) * (at - low)));
  return `rgba(${r},${g},${b},${opacity})`;
}

export function alpha(hex, value) {
  return hex + Math.round(255 * Math.max(0, Math.min(1, value))).toString(16).padStart(2, "0");
}
