// The server, as functions. Every failure is an ApiError with the one line that the server sent.

const BASE = "api/v1";

export class ApiError extends Error {
  // status 0: the server could not be reached.
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const url = (path) => `${BASE}/${path}`;

async function send(method, path, body, options = {}) {
  const form = body instanceof FormData;
  const headers = body === undefined || form ? {} : { "Content-Type": "application/json" };
  const content = body === undefined || form ? body : JSON.stringify(body);
  let response;
  try {
    response = await fetch(url(path), { method, headers, body: content, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(
      0,
      "The server does not reply; is “mvg serve” still running? What you painted is kept and sent when it is back.",
    );
  }
  if (!response.ok) throw new ApiError(response.status, await errorLine(response));
  return response;
}

async function errorLine(response) {
  const fallback = `The server replied ${response.status} ${response.statusText}.`;
  try {
    return (await response.json()).error ?? fallback;
  } catch {
    return fallback;
  }
}

const json = async (promise) => {
  const response = await promise;
  return response.status === 204 ? null : response.json();
};

export const get = (path) => json(send("GET", path));
export const post = (path, body = {}) => json(send("POST", path, body));
export const patch = (path, body) => json(send("PATCH", path, body));
export const remove = (path) => json(send("DELETE", path));
export const bytes = async (path) => (await send("GET", path)).arrayBuffer();

// Files under one or several field names: {image: File, target: File} or {files: [File, ...]}.
export function upload(path, fields) {
  const form = new FormData();
  for (const [name, files] of Object.entries(fields)) for (const file of [files].flat()) form.append(name, file);
  return json(send("POST", path, form));
}

// Reads server-sent events from a POST; hands each {event, data} to `receive`. Aborting the signal stops the work.
export async function stream(path, body, receive, signal) {
  const response = await send("POST", path, body, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text = (text + value).replaceAll("\r\n", "\n");
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) await dispatch(block, receive);
    }
  } finally {
    reader.cancel().catch(() => {}); // the server stops working when nobody reads
  }
}

async function dispatch(block, receive) {
  const lines = block.split("\n");
  const field = (name) =>
    lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim());
  const data = field("data").join("\n");
  if (data) await receive({ event: field("event")[0] ?? "message", data: JSON.parse(data) });
}

// Server-sent events of a GET, reconnected by the browser; returns a function that closes it.
export function listen(path, handlers) {
  const source = new EventSource(url(path));
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => event.data && handle(JSON.parse(event.data)));
  }
  return () => source.close();
}

// Saves a file that the server makes; an error of the server is thrown, not saved.
export async function download(path) {
  const response = await send("GET", path);
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const encoded = disposition.match(/filename\*=(?:utf-8|UTF-8)''([^;]+)/);
  const name = encoded
    ? decodeURIComponent(encoded[1])
    : (disposition.match(/filename="?([^";]+)/)?.[1] ?? path.split("/").pop());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
