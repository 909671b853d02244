// The key of this browser's session. It is in memory only: of this page, and of a shared worker where there is one.

const WAIT_MS = 500;

let key = null;
let port = null;

/** Ask the worker for the key that this browser's session has, if any. */
export async function recall() {
  port = holder();
  if (!port) return null;
  const answer = new Promise((done) => { port.onmessage = ({ data }) => done(data.key); });
  port.postMessage({});
  key = await Promise.race([answer, new Promise((done) => setTimeout(done, WAIT_MS, null))]);
  return key;
}

export function keep(given) {
  key = given;
  port?.postMessage({ key });
}

/** A server without keys takes any value, but wants one: it is how it tells its page from a stranger's. */
export const current = () => key ?? "playground";
export const isGiven = () => key !== null;

function holder() {
  try {
    const place = new URL("./keyholder.js", import.meta.url).href;
    const trusted = globalThis.trustedTypes?.createPolicy("understudy-key", {
      createScriptURL: (url) => { if (url === place) return url; throw new TypeError(url); },
    });
    const url = trusted ? trusted.createScriptURL(place) : place;
    return new SharedWorker(url, { name: "key", extendedLifetime: true }).port;
  } catch {
    return null; // no shared workers in this browser: a reload asks again
  }
}
