// A shared worker that holds the key in memory, so that a reload and other tabs need not ask for it again.
// Session storage would not do: browsers write it to the profile's folder on disk.

let key = null;

onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if ("key" in data) key = data.key;
    else port.postMessage({ key });
  };
};
