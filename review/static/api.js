// Requests to the desk's own API, and what went wrong in words.

const PATIENCE_MS = 60_000; // longer than the desk waits for its database

const csrf = document.querySelector('meta[name="csrf"]').content;

export class Problem extends Error {
  constructor(status, detail, retryAfterS) {
    super(detail);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }

  // Sending the same again later may work: the network, a limit, a database that is away.
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  get signedOut() {
    return this.status === 401 || this.status === 403;
  }
}

export async function ask(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: {
        Accept: "application/json",
        "X-CSRF-Token": csrf,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      keepalive: method !== "GET",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Problem(0, "The review desk cannot be reached.");
  }
  const isJson = (answer.headers.get("content-type") ?? "").includes("json");
  const found = isJson ? await answer.json() : {};
  if (!answer.ok) {
    const retryAfterS = Number(answer.headers.get("retry-after")) || undefined;
    throw new Problem(answer.status, found.detail ?? `Error ${answer.status}`, retryAfterS);
  }
  return found;
}

export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

// Forms cannot send the header that protects against other sites.
for (const form of document.querySelectorAll("form[data-sign-out]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await fetch(form.action, { method: "POST", headers: { "X-CSRF-Token": csrf } });
    location.assign("/login");
  });
}
