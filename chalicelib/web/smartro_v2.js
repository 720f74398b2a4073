// Smartro, new module: its script reads what to pay from a form on the page, and calls back with the two values that the
// approval needs. On phones it leaves the page instead, and Smartro posts them to the return URL by itself.
'use strict';

(function () {
  const FORM_ID = 'tranMgr'; // the name that all of Smartro's samples use

  function hiddenForm(fields) {
    const form = document.createElement('form');
    form.id = FORM_ID;
    form.name = FORM_ID;
    form.method = 'post';
    form.acceptCharset = 'utf-8';
    for (const [name, value] of Object.entries(fields)) {
      const input = document.createElement('input');
      input.type = 'hidden';
      input.name = name;
      input.value = value;
      form.append(input);
    }
    return form;
  }

  window.SmartRouting.drivers.smartro_v2 = {
    open(params, back) {
      document.body.append(hiddenForm(params.form));
      const request = { FormId: FORM_ID };
      if (params.callback) {
        request.Callback = (result) => {
          const { Tid, TrAuthKey, Mid, Moid, Amt, ResultCode, ResultMsg } = result || {};
          if (Tid || ResultCode) back.post({ Tid, TrAuthKey, Mid, Moid, Amt, ResultCode, ResultMsg });
          else back.fail('NO_RESULT', '');
        };
      }
      window.smartropay.init({ mode: params.mode });
      window.smartropay.payment(request);
    },
  };
})();
