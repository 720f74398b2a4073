// npm's `iamporter`.

const { Iamporter } = require("iamporter");

const { serve } = require("./lines.cjs");

const client = new Iamporter({ apiKey: process.env.IMP_KEY, secret: process.env.IMP_SECRET, host: process.env.API });

serve(
  (name, args) => client[name](...args),
  ({ message, status }) => ({ message, status }),
);
