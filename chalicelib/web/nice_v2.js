// NICE Payments: its script takes everything at once, and sends the browser to returnUrl with a form by itself.
'use strict';

(function () {
  const LEFT = ['I002', 'P091'];

  // What goes wrong before that is told here. The code stands at the end of the text alone: "... [P090]".
  function codeIn(text) {
    const found = /\[([A-Z]\d{3})\]\s*$/.exec(text);
    return found ? found[1] : '';
  }

  SmartRouting.drivers.nice_v2 = {
    open(params, back) {
      AUTHNICE.requestPay({
        ...params,
        fnError(result) {
          const { msg = '', errorMsg = '' } = result || {};
          const code = codeIn(errorMsg) || codeIn(msg);
          const isLeft = LEFT.includes(code) || (!code && /취소|결제포기/.test(errorMsg + msg));
          (isLeft ? back.cancel : back.fail)(code || 'WINDOW', msg || errorMsg);
        },
      });
    },
  };
})();
