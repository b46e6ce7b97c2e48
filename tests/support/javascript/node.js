// Reads a task from standard input, carries it out, and writes the result: both as JSON.

import { run } from "./checks.js";

let text = "";
for await (const part of process.stdin.setEncoding("utf-8")) text += part;
process.stdout.write(JSON.stringify(run(JSON.parse(text))));
