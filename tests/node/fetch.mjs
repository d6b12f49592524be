// Fetches a URL with Node's own fetch and writes the body to standard output; exit 22 for a 4xx or 5xx.
// fetch.mjs URL [METHOD] [FILE]
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

const [url, method = "GET", file] = process.argv.slice(2);
const body = file ? createReadStream(file) : undefined;
const answer = await fetch(url, { method, body, duplex: body ? "half" : undefined });
if (answer.body) await pipeline(answer.body, process.stdout, { end: false });
process.exitCode = answer.ok ? 0 : 22;
