// Toss Payments' window. Success and failure come back by redirect; only its closing on a desktop is told here.
'use strict';

SmartRouting.drivers.tosspayments = {
  async open({ clientKey, customerKey, request }, back) {
    try {
      const payment = TossPayments(clientKey).payment({ customerKey: customerKey || TossPayments.ANONYMOUS });
      await payment.requestPayment(request);
    } catch (error) {
      if (error.code !== 'USER_CANCEL') throw error;
      back.cancel(error.code, error.message);
    }
  },
};
