"""The numbers of the open board. Change one only on purpose: data, weights and stored matches rest on them."""

BOARD_SIZE = 512.0  #: side of the square board, board pixels; origin top left, y down
BOARD_CENTRE = BOARD_SIZE / 2  #: px, in x and in y
WALL_INSET = 4.0  #: the walls' inner faces stand this far inside the board's edge, px

STEP_SECONDS = 0.1  #: one env step
SUBSTEPS = 5  #: pymunk substeps per env step
SUBSTEP_SECONDS = STEP_SECONDS / SUBSTEPS
TURN_STEPS = 5  #: env steps in one turn; an action block is (TURN_STEPS, 2)

AGENT_RADIUS = 16.0  #: px
AGENT_MASS = 1.0
AGENT_SPEED = 400.0  #: px/s commanded per component by an action of 1.0
AGENT_FORCE = 12_000.0  #: largest force of an agent, mass * px/s^2
AGENT_FRICTION = 0.6

BLOCK_MASS = 1.0
BLOCK_FRICTION = 0.6
WALL_FRICTION = 0.3
DAMPING = 0.02  #: share of the velocity left after one second without a force
SOLVER_ITERATIONS = 20

AGENTS = ("p1", "p2")
