// The socket: sends and receives messages, comes back by itself after a lost connection.

export const VERSION = 2; // of the protocol
const PATIENCE = [400, 800, 1600, 3000, 5000]; // ms before each further attempt

export class Connection extends EventTarget {
  #socket = null;
  #attempt = 0;
  #timer = 0;

  /** "connecting", "open" or "lost"; told by "state" events. Messages arrive as "message" events. */
  state = "connecting";

  start() {
    this.#connect();
    // A laptop that wakes up, or a phone that finds its network again, need not wait for the timer.
    window.addEventListener("online", () => this.#retryNow());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#retryNow());
  }

  /** Send one message; false if there is no connection. */
  send(message) {
    if (this.state !== "open" || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ v: VERSION, ...message }));
    return true;
  }

  #connect() {
    clearTimeout(this.#timer);
    const url = new URL("ws", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#attempt = 0;
      this.#become("open");
    });
    socket.addEventListener("message", (event) => socket === this.#socket && this.#receive(event.data));
    socket.addEventListener("close", () => {
      if (socket !== this.#socket) return;
      this.#become("lost");
      const wait = PATIENCE[Math.min(this.#attempt, PATIENCE.length - 1)];
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), wait);
    });
  }

  #receive(data) {
    const message = JSON.parse(data);
    const foreign = message.v !== VERSION || (message.type === "error" && message.code === "wrong_version");
    this.dispatchEvent(new CustomEvent(foreign ? "outdated" : "message", { detail: message }));
  }

  #retryNow() {
    if (this.state === "lost") this.#connect();
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
