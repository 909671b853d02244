// The key of this browser's session, and the project that an admin's key is in. They are in memory only: of this page,
// and of a shared worker where there is one.

const WAIT_MS = 3000;

let key = null;
let project = null;
let port = null;

/** Ask the worker for the key that this browser's session has, if any. An answer that comes late is told to `onLate`. */
export async function recall(onLate) {
  let late = false;
  await new Promise((done) => {
    const worker = holder(done);
    port = worker?.port ?? null;
    if (!port) return done();
    port.onmessage = ({ data }) => {
      if (key !== null || data.key === null) return done();
      ({ key, project } = data);
      return late ? onLate() : done();
    };
    port.postMessage({});
    setTimeout(() => { late = true; done(); }, WAIT_MS);
    return undefined;
  });
}

export function keep(given) {
  key = given;
  project = null;
  tell();
}

/** Go into a project; null is the key's own. */
export function enter(name) {
  project = name;
  tell();
}

const tell = () => port?.postMessage({ key, project });

/** A server without keys takes any value, but wants one: it is how it tells its page from a stranger's. */
export const current = () => key ?? "playground";
export const isGiven = () => key !== null;
export const inProject = () => (project === null ? {} : { "OpenAI-Project": project });

function holder(onError) {
  try {
    const place = new URL("./keyholder.js", import.meta.url).href;
    const trusted = globalThis.trustedTypes?.createPolicy("understudy-key", {
      createScriptURL: (url) => { if (url === place) return url; throw new TypeError(url); },
    });
    const url = trusted ? trusted.createScriptURL(place) : place;
    const worker = new SharedWorker(url, { name: "key", extendedLifetime: true });
    worker.onerror = () => onError();
    return worker;
  } catch {
    return null; // no shared workers in this browser: a reload asks again
  }
}
