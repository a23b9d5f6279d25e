// Runs in the sandboxed frame: starts the worker from bytes that the page sends, and forwards its messages.
// It holds no secrets and can only compute, as enforced by the policy that it is served with.
window.addEventListener("message", function start({ source, data, ports: [port] }) {
  if (source !== window.parent || !port) return;
  window.removeEventListener("message", start);
  const url = URL.createObjectURL(new Blob([data.worker], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.addEventListener("message", (event) => port.postMessage(event.data));
  worker.addEventListener("error", (event) => {
    port.postMessage({ kind: "trouble", text: event.message });
    port.postMessage({ kind: "done" });
  });
  port.addEventListener("message", (event) => worker.postMessage(event.data));
  port.start();
  worker.postMessage({ files: data.files }, Object.values(data.files));
});
window.parent.postMessage("hello", "*");
