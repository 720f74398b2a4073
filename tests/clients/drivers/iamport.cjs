// npm's `iamport`. Its methods are grouped: "payment.getByImpUid".

const Iamport = require("iamport");

const { serve } = require("./lines.cjs");

Iamport.DEFAULT_HOST = process.env.API;
const client = new Iamport({ impKey: process.env.IMP_KEY, impSecret: process.env.IMP_SECRET });

serve(
  (name, args) => {
    const [group, method] = name.split(".");
    return client[group][method](...args);
  },
  ({ code, message }) => ({ code, message }),
);
