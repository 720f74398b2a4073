// KG Inicis. On a PC its script reads what to pay from a form on our page, opens a layer over it, and sends the browser
// to the return URL by itself, a buyer who left included. On phones the form goes to Inicis's own page, in EUC-KR.
'use strict';

window.SmartRouting.drivers.html5_inicis = {
  open({ action, fields }, back) {
    if (action) {
      back.form(action, fields, { charset: 'euc-kr' });
      return;
    }
    const form = document.createElement('form');
    form.id = 'SendPayForm_id';
    form.method = 'post';
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
    }
    document.body.append(form);
    window.INIStdPay.pay(form.id);
  },
};
