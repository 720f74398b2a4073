// What the drivers of npm's libraries share; see tests/support/clients.py.

const readline = require("node:readline");

// call: a method's name and its arguments -> a promise of the answer. refusal: what a library throws -> what to tell of it.
exports.serve = async (call, refusal) => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, args] = JSON.parse(line);
    const ended = await call(name, args).then(
      (answer) => ({ answer }),
      (error) => ({ refusal: refusal(error) }),
    );
    console.log(JSON.stringify(ended));
  }
};
