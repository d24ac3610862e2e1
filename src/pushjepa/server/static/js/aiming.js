// Where way-points will take an agent that touches nothing. Mirrors server/aiming.py; the server has the last word.

export const MAX_WAYPOINTS = 3;
const LEG_STEPS = { 1: [5], 2: [3, 2], 3: [2, 2, 1] };
const SUBSTEP = 0.02; // seconds
const SUBSTEPS = 5;
const STEP = SUBSTEP * SUBSTEPS;

/** An agent on an empty board: position in px, velocity in px/s. */
class FreeAgent {
  constructor(physics, [x, y], [vx, vy] = [0, 0]) {
    Object.assign(this, { physics, x, y, vx, vy });
  }

  substep(tx, ty) {
    this.x += this.vx * SUBSTEP;
    this.y += this.vy * SUBSTEP;
    const kept = this.physics.damping ** SUBSTEP;
    const [cx, cy] = [this.vx * kept, this.vy * kept];
    const [dx, dy] = [tx - cx, ty - cy];
    const norm = Math.hypot(dx, dy);
    const limit = this.physics.agent_force * SUBSTEP;
    const share = norm <= limit ? 1 : limit / norm;
    this.vx = cx + dx * share;
    this.vy = cy + dy * share;
  }

  restingPlace() {
    const ghost = new FreeAgent(this.physics, [this.x, this.y], [this.vx, this.vy]);
    for (let i = 0; i < 25 && (ghost.vx !== 0 || ghost.vy !== 0); i += 1) ghost.substep(0, 0);
    return [ghost.x, ghost.y];
  }
}

/** The points that an agent passes in its turn, one per substep, the first where it stands. */
export function reachablePath(start, waypoints, physics) {
  const agent = new FreeAgent(physics, start);
  const path = [[agent.x, agent.y]];
  const steps = LEG_STEPS[waypoints.length] ?? [];
  const targets = waypoints.flatMap((point, leg) => Array(steps[leg]).fill(point));
  targets.forEach((target, index) => {
    const [ax, ay] = stepTowards(agent, target, index === targets.length - 1);
    for (let i = 0; i < SUBSTEPS; i += 1) {
      agent.substep(ax * physics.agent_speed, ay * physics.agent_speed);
      path.push([agent.x, agent.y]);
    }
  });
  return path;
}

function stepTowards(agent, [tx, ty], last) {
  const [rx, ry] = agent.restingPlace();
  let [gx, gy, seconds] = [tx - rx, ty - ry, STEP];
  if (last) {
    gx = tx - agent.x - agent.vx * SUBSTEP;
    gy = ty - agent.y - agent.vy * SUBSTEP;
    seconds -= SUBSTEP;
  }
  const full = agent.physics.agent_speed * seconds;
  const largest = Math.max(Math.abs(gx), Math.abs(gy)) / full;
  const share = 1 / (full * Math.max(largest, 1));
  return [gx * share, gy * share];
}
