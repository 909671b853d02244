// A shared worker that holds the key in memory, so that a reload and other tabs need not ask for it again.
// Session storage would not do: browsers write it to the profile's folder on disk.

let held = { key: null, project: null };

onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if ("key" in data) held = data;
    else port.postMessage(held);
  };
};
