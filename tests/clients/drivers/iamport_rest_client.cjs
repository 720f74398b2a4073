// npm's `iamport-rest-client-nodejs`. Its requests are objects, made by grouped methods: "Payments.getByImpUid".

const { Iamport, Request } = require("iamport-rest-client-nodejs");

const { serve } = require("./lines.cjs");

const client = new Iamport({
  apiKey: process.env.IMP_KEY,
  apiSecret: process.env.IMP_SECRET,
  baseUrl: process.env.API,
});

serve(
  async (name, args) => {
    const [group, method] = name.split(".");
    const { status, data } = await Request[group][method](...args).request(client);
    return { status, ...data };
  },
  ({ response: { status, data } }) => ({ status, code: data.code, message: data.message }),
);
