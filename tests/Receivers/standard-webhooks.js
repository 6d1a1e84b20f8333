// Checks what it is sent with the library of the specification, and tells each verdict as a line of JSON. A line on its standard input is its secret.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

let secret = "";
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  secret = line.trim();
  console.log(JSON.stringify({ ready: true }));
});
lines.on("close", () => process.exit(0));

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts).toString("utf8");
    try {
      const event = new Webhook(secret).verify(body, request.headers);
      console.log(JSON.stringify({ id: event.id, type: event.type, verified: true }));
      response.writeHead(204).end();
    } catch (refusal) {
      console.log(JSON.stringify({ id: request.headers["webhook-id"], verified: false, error: String(refusal) }));
      response.writeHead(401).end();
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
