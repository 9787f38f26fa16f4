// Every step of the user goes to the server in order, at once, and is kept in this browser until the server has it.
//
// A step is {path, body, kind}. A stroke carries an identifier of its own, so that the server applies it once however
// often it is sent. Undo and redo have none: after a lost reply the session's revision tells whether they were applied.

import { ApiError, get, url } from "../api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;
const KEEPALIVE_BYTES = 60_000; // browsers refuse larger requests that outlive their page
const PREFIX = "mvg.pending.";
const TAB = crypto.randomUUID?.() ?? String(Math.random());

const live = new Map(); // by session: a study that is left and opened again has one sender only

export class Autosave {
  // apply(reply, step, remaining): a step is on disk. report(state, message): "saved" | "saving" | "waiting" | "refused".
  constructor(session, apply, report) {
    Object.assign(this, { session, apply, report, revision: session.revision, wait: FIRST_WAIT, running: null });
    this.key = PREFIX + session.id + ".";
    this.steps = this.kept();
    if (this.steps.length) this.start();
  }

  static of(session, apply, report) {
    const known = live.get(session.id);
    if (known) Object.assign(known, { session, apply, report });
    else live.set(session.id, new Autosave(session, apply, report));
    const autosave = live.get(session.id);
    if (autosave.steps.length) autosave.start();
    return autosave;
  }

  // Sends what an earlier visit could not, for every session.
  static async sendLeftover() {
    const keys = storedKeys().filter((key) => key.startsWith(PREFIX));
    for (const id of new Set(keys.map((key) => key.slice(PREFIX.length).replace(/\.[^.]*$/, "")))) {
      const session = await get(`sessions/${id}`).catch(() => null); // a vanished study keeps its steps here
      if (session && !live.has(id))
        Autosave.of(
          session,
          () => {},
          () => {},
        );
    }
  }

  // Steps that an earlier visit could not send.
  kept() {
    const keys = storedKeys().filter((key) => key.startsWith(this.key));
    const steps = keys.flatMap((key) => JSON.parse(localStorage.getItem(key)));
    keys.forEach((key) => localStorage.removeItem(key));
    this.keep(steps);
    return steps;
  }

  keep(steps) {
    try {
      if (steps.length) localStorage.setItem(this.key + TAB, JSON.stringify(steps));
      else localStorage.removeItem(this.key + TAB);
    } catch {
      // The browser's storage is full or forbidden: the steps are still in memory and on their way.
    }
  }

  push(kind, body = {}) {
    this.steps.push({ kind, body: kind === "corrections" ? { stroke: crypto.randomUUID(), ...body } : body });
    this.keep(this.steps);
    this.start();
  }

  start() {
    this.running ??= this.drain().finally(() => (this.running = null));
    return this.running;
  }

  // Resolves when everything is on disk, or cannot be for now.
  async settled() {
    while (this.steps.length && !this.blocked) await this.start();
    return !this.steps.length;
  }

  retry() {
    this.blocked = false;
    return this.start();
  }

  async drain() {
    this.blocked = false;
    while (this.steps.length && !this.blocked) {
      const step = this.steps[0];
      if (!this.waiting) this.report("saving");
      try {
        const reply = await this.send(step);
        this.revision = reply.revision ?? this.revision;
        this.finish(step);
        await this.apply(reply, step, this.steps.length);
      } catch (error) {
        await this.failed(step, error);
      }
    }
    if (!this.steps.length) this.report("saved");
  }

  finish() {
    this.waiting = false;
    this.wait = FIRST_WAIT;
    this.steps.shift();
    this.keep(this.steps);
  }

  async send(step) {
    if (step.sent && step.kind !== "corrections") {
      const now = await get(`sessions/${this.session.id}`);
      if (now.revision !== this.revision) return { ...now, slices: null };
    }
    step.sent = true;
    const body = JSON.stringify(step.body);
    let response;
    try {
      response = await fetch(url(`sessions/${this.session.id}/${step.kind}`), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
        keepalive: body.length < KEEPALIVE_BYTES,
      });
    } catch {
      throw new ApiError(
        0,
        "The server does not reply. Your strokes are kept in this browser and sent when it is back.",
      );
    }
    if (response.ok) return response.json();
    const line = await response.json().then(
      (reply) => reply.error,
      () => `The server replied ${response.status}.`,
    );
    throw new ApiError(response.status, line);
  }

  async failed(step, error) {
    if (error.status === 0 || error.status === 502 || error.status === 503) {
      this.waiting = true;
      this.report("waiting", error.message);
      await new Promise((resolve) => setTimeout(resolve, this.wait));
      this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
    } else if (error.status === 401) {
      this.blocked = true;
      location.reload(); // asks for the token; the steps stay in this browser
    } else if (error.status === 409 || error.status === 422) {
      // The server will never take this step; what it has is drawn again.
      this.finish(step);
      this.report("refused", error.message);
      await this.apply({ slices: null }, step, this.steps.length);
    } else {
      this.blocked = true;
      this.report("blocked", error.message);
    }
  }
}

function storedKeys() {
  try {
    return Object.keys(localStorage);
  } catch {
    return []; // the browser forbids storage
  }
}
